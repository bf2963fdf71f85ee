//! Claims as bytes: changed ones, and ones that no issuer of ours would write.

use std::net::IpAddr;

use proptest::bool::weighted;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::grants::prefixes;

/// One change of claims.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Flip(Index, u8),
    Set(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index, Index),
    Repeat(Index, Index),
    Exchange(Index, Index),
}

pub(crate) fn changes() -> impl Strategy<Value = Change> {
    prop_oneof![
        (any::<Index>(), 0..8_u8).prop_map(|(at, bit)| Change::Flip(at, bit)),
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        (any::<Index>(), vec(any::<u8>(), 1..4)).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        any::<(Index, Index)>().prop_map(|(from, to)| Change::Remove(from, to)),
        any::<(Index, Index)>().prop_map(|(from, to)| Change::Repeat(from, to)),
        any::<(Index, Index)>().prop_map(|(one, two)| Change::Exchange(one, two)),
    ]
}

impl Change {
    pub(crate) fn apply(&self, bytes: &mut Vec<u8>) {
        let length = bytes.len();
        if length == 0 {
            return;
        }
        let range = |one: &Index, two: &Index| {
            let (one, two) = (one.index(length), two.index(length));
            one.min(two)..one.max(two)
        };
        match self {
            Self::Flip(at, bit) => bytes[at.index(length)] ^= 1 << bit,
            Self::Set(at, byte) => bytes[at.index(length)] = *byte,
            Self::Insert(at, new) => {
                drop(bytes.splice(at.index(length)..at.index(length), new.iter().copied()));
            }
            Self::Remove(from, to) => drop(bytes.drain(range(from, to))),
            Self::Repeat(from, to) => bytes.extend_from_within(range(from, to)),
            Self::Exchange(one, two) => bytes.swap(one.index(length), two.index(length)),
        }
    }
}

/// Claims of all kinds: most of them right and in order, some nearly right, some wrong.
pub(crate) fn random_claims() -> impl Strategy<Value = Vec<u8>> {
    let numbers = prop_oneof![
        6 => (1..=255_u8, vec(any::<u8>(), 0..7)).prop_map(|(first, rest)| [vec![first], rest].concat()),
        1 => vec(0..3_u8, 0..10),
    ];
    let counts = prop_oneof![6 => vec(1..=255_u8, 1..=2), 1 => vec(0..3_u8, 0..4)];
    let names = prop_oneof![20 => "abcde-[a-c]{0,2}", 1 => "[a-c./-]{0,3}"];
    let organisations =
        prop_oneof![6 => Just("abcde"), 1 => select(vec!["fghij", "abcd", "abcde-", "*"])];
    let domains = prop_oneof![
        20 => select(vec!["a.de", "b.de", "*.a.de", "a.b.de", "1.b2", "xn--a.de"]),
        1 => select(vec!["*.de", "A.de", "a.de.", "a", "*.*.a.de", "*", "a.1", "a..de", "-a.de"]),
    ];
    let networks = prop_oneof![
        9 => prefixes().prop_map(|prefix| match prefix.network() {
            IpAddr::V4(v4) => [vec![prefix.length()], v4.octets().to_vec()].concat(),
            IpAddr::V6(v6) => [vec![prefix.length()], v6.octets().to_vec()].concat(),
        }),
        1 => vec(prop_oneof![Just(0), Just(32), Just(255), any::<u8>()], 0..18),
    ];
    let text = |text: BoxedStrategy<&'static str>| text.prop_map(|text| text.as_bytes().to_vec());
    let scope = prop_oneof![
        8 => list(names.prop_map(String::into_bytes)).prop_map(|list| vec![(4, list)]),
        2 => text(organisations.boxed()).prop_map(|hash| vec![(5, hash)]),
        1 => Just(vec![]),
        1 => Just(vec![(4, b"\x05abcde".to_vec()), (5, b"abcde".to_vec())]),
    ];
    let core = (
        some(
            9,
            1,
            prop_oneof![20 => vec(any::<u8>(), 16), 1 => vec(any::<u8>(), 15..18)],
        ),
        some(9, 2, numbers.clone()),
        scope,
    );
    let extra = (
        some(1, 3, numbers),
        some(1, 6, list(networks)),
        some(1, 7, list(text(domains.boxed()))),
        some(
            1,
            8,
            prop_oneof![6 => "\\PC{1,4}".prop_map(String::into_bytes), 1 => vec(any::<u8>(), 0..3)],
        ),
        some(1, 9, counts),
        some(
            1,
            10,
            prop_oneof![6 => Just(vec![1]), 1 => vec(0..3_u8, 0..3)],
        ),
        prop_oneof![
            12 => Just(vec![]),
            1 => (any::<u8>(), vec(any::<u8>(), 0..4)).prop_map(|claim| vec![claim]),
        ],
    );
    (core, extra, weighted(0.9), any::<(Index, Index)>()).prop_map(
        |((a, b, c), (d, e, f, g, h, i, j), in_order, (one, two))| {
            let mut claims = [a, b, c, d, e, f, g, h, i, j].concat();
            claims.sort();
            if !in_order && !claims.is_empty() {
                let places = claims.len();
                claims.swap(one.index(places), two.index(places));
            }
            let bytes = claims.iter().flat_map(|(kind, value)| {
                let length = u16::try_from(value.len()).unwrap().to_be_bytes();
                [vec![*kind], length.to_vec(), value.clone()].concat()
            });
            bytes.collect()
        },
    )
}

/// A claim of this type or none, `often` times to once.
fn some(
    often: u32,
    kind: u8,
    value: impl Strategy<Value = Vec<u8>>,
) -> impl Strategy<Value = Vec<(u8, Vec<u8>)>> {
    prop_oneof![often => value.prop_map(move |value| vec![(kind, value)]), 1 => Just(vec![])]
}

/// A list, mostly sorted and without repetitions.
fn list(items: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    (vec(items, 0..5), weighted(0.9)).prop_map(|(mut items, in_order)| {
        if in_order {
            items.sort();
            items.dedup();
        }
        items
            .iter()
            .flat_map(|item| [vec![u8::try_from(item.len()).unwrap()], item.clone()].concat())
            .collect()
    })
}
