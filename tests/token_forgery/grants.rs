//! Random grants.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU16;

use h5gate::token::{
    AddressPrefix, AtExpiry, Grant, RefererPattern, Scope, StreamName, Tag, TokenId, UnixSeconds,
    User,
};
use proptest::collection::vec;
use proptest::prelude::*;

/// Grants of `abcde`, all of which mint.
pub(crate) fn grants() -> impl Strategy<Value = Grant> {
    let names = ("[A-Za-z0-9._~-]{0,24}")
        .prop_map(|name| format!("abcde-{name}").parse::<StreamName>().unwrap());
    let scope = prop_oneof![
        3 => vec(names, 1..=16).prop_map(Scope::Streams),
        1 => Just(Scope::Organisation("abcde".parse().unwrap())),
    ];
    let times = prop_oneof![1..300_u64, 1_600_000_000..1_900_000_000_u64, 1..=u64::MAX];
    let times = times.prop_map(UnixSeconds::new).boxed();
    let expires = prop::option::of(any::<u64>().prop_map(UnixSeconds::new));
    let tag =
        prop_oneof![Just(String::new()), "\\PC{0,64}"].prop_map(|tag| tag.parse::<Tag>().unwrap());
    let user = prop::option::of("\\PC{1,32}".prop_map(|user| user.parse::<User>().unwrap()));
    let bound = (
        vec(prefixes(), 0..=6),
        vec(patterns(), 0..=6),
        tag,
        user,
        prop::option::of(any::<NonZeroU16>()),
    );
    (
        any::<[u8; 16]>(),
        times.clone(),
        prop::option::of(times),
        expires,
        any::<bool>(),
        scope,
        bound,
    )
        .prop_map(
            |(
                id,
                issued_at,
                not_before,
                expires,
                cut,
                scope,
                (addresses, referers, tag, user, sessions),
            )| Grant {
                id: TokenId::new(id),
                issued_at,
                not_before,
                expires,
                at_expiry: if cut && expires.is_some() {
                    AtExpiry::Cut
                } else {
                    AtExpiry::Keep
                },
                scope,
                addresses,
                referers,
                tag,
                user,
                sessions,
            },
        )
}

pub(crate) fn prefixes() -> impl Strategy<Value = AddressPrefix> {
    let four = (any::<u32>(), 1..=32_u8).prop_map(|(bits, length)| {
        let network = Ipv4Addr::from_bits(bits & u32::MAX << (32 - length));
        AddressPrefix::new(IpAddr::V4(network), length)
    });
    // The highest bit keeps it out of ::ffff:0:0/96, which is IPv4.
    let six = (any::<u128>(), 1..=128_u8).prop_map(|(bits, length)| {
        let network = Ipv6Addr::from_bits((bits | 1 << 127) & u128::MAX << (128 - length));
        AddressPrefix::new(IpAddr::V6(network), length)
    });
    prop_oneof![four, six].prop_map(Result::unwrap)
}

fn patterns() -> impl Strategy<Value = RefererPattern> {
    "(\\*\\.)?([A-Za-z0-9]([A-Za-z0-9-]{0,8}[A-Za-z0-9])?\\.){1,3}[A-Za-z]{2,6}\\.?"
        .prop_map(|text| text.parse().unwrap())
}

/// The same for the other owner.
pub(crate) fn of_other_owner(mut grant: Grant) -> Grant {
    grant.scope = match grant.scope {
        Scope::Organisation(_) => Scope::Organisation("fghij".parse().unwrap()),
        Scope::Streams(streams) => {
            let name = |stream: StreamName| {
                stream
                    .as_str()
                    .replacen("abcde", "fghij", 1)
                    .parse()
                    .unwrap()
            };
            Scope::Streams(streams.into_iter().map(name).collect())
        }
    };
    grant
}

/// Lists in one order and without repetitions: a token carries them so.
pub(crate) fn sorted(mut grant: Grant) -> Grant {
    if let Scope::Streams(streams) = &mut grant.scope {
        streams.sort();
        streams.dedup();
    }
    grant.addresses.sort();
    grant.addresses.dedup();
    grant.referers.sort();
    grant.referers.dedup();
    grant
}
