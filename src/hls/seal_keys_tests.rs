use std::str::FromStr as _;

use super::*;
use crate::hls::link::{Link, Signature};
use crate::token::{Key, KeyState, Secret};

fn text(signature: Signature) -> String {
    String::from_utf8(signature.as_bytes().to_vec()).unwrap()
}

fn ring(id: &str, byte: u8) -> Keyring {
    let secret = Secret::new(vec![byte; 32]).unwrap();
    let owner = "abcde".parse().unwrap();
    let key = Key::new(id.parse().unwrap(), owner, KeyState::Active, &secret);
    Keyring::new([], [key]).unwrap()
}

#[test]
fn links_outlive_the_other_owners_key_until_the_restart() {
    let ring = |other: &str, byte| {
        let key = |id: &str, owner: &str, byte| {
            let secret = Secret::new(vec![byte; 32]).unwrap();
            let owner = owner.parse().unwrap();
            Key::new(id.parse().unwrap(), owner, KeyState::Active, &secret)
        };
        Keyring::new([], [key("k1", "abcde", 1), key(other, "fghij", byte)]).unwrap()
    };
    let link = Link {
        owner: &"abcde".parse().unwrap(),
        stream: &"abcde-one".parse().unwrap(),
        definitions: "",
        target: "a/1.ts",
    };
    let before = SealKeys::new(&ring("k2", 2), None);
    let signature = text(link.sign(&before));
    let mut after = SealKeys::new(&ring("k3", 3), Some(&before));
    for _ in 0..10 {
        assert!(link.is_signed(&after, &signature));
        assert_ne!(link.sign(&after), link.sign(&before));
        after = SealKeys::new(&ring("k3", 3), Some(&after));
    }
    let id = KeyId::from_str("k1").unwrap();
    assert_eq!(after.keys[&id].links.len(), 2, "each reload adds nothing");
    assert!(!link.is_signed(&SealKeys::new(&ring("k3", 3), None), &signature));
}

#[test]
fn a_link_is_of_one_organisation_one_stream_and_one_target() {
    let seals = SealKeys::new(&ring("k1", 1), None);
    let (owner, stream) = ("abcde".parse().unwrap(), "abcde-one".parse().unwrap());
    let link = Link {
        owner: &owner,
        stream: &stream,
        definitions: "d",
        target: "a/1.ts?x=1",
    };
    let signature = text(link.sign(&seals));
    assert!(link.is_signed(&seals, &signature));
    let (other, unlisted) = ("abcde-two".parse().unwrap(), Owner::Unlisted);
    for wrong in [
        Link {
            stream: &other,
            ..link
        },
        Link {
            owner: &unlisted,
            ..link
        },
        Link {
            definitions: "",
            ..link
        },
        Link {
            target: "a/1.ts",
            ..link
        },
    ] {
        assert!(!wrong.is_signed(&seals, &signature), "{wrong:?}");
    }
    assert!(!link.is_signed(&seals, "") && !link.is_signed(&seals, &"A".repeat(22)));
}
