use super::*;
use crate::hls::link::Link;
use crate::token::{
    AtExpiry, Key, KeyState, Keyring, LIST_LIMIT, Presented, Secret, TOKEN_LIMIT, TokenId,
};

fn ring(id: &str, byte: u8) -> Keyring {
    let secret = Secret::new(vec![byte; 32]).unwrap();
    let owner = "abcde".parse().unwrap();
    let key = Key::new(id.parse().unwrap(), owner, KeyState::Active, &secret);
    Keyring::new([], [key]).unwrap()
}

fn grant(streams: &[&str]) -> Grant {
    let streams = streams.iter().map(|name| name.parse().unwrap()).collect();
    let issued = UnixSeconds::new(1_700_000_000);
    let mut grant = Grant::new(TokenId::new([7; 16]), issued, Scope::Streams(streams));
    grant.expires = Some(UnixSeconds::new(1_700_003_600));
    grant.tag = "a tag. with/everything?".parse().unwrap();
    grant
}

fn ticket(grant: Grant) -> Ticket {
    Ticket {
        session: SessionId::new(u128::MAX),
        player: "1234567890".to_owned(),
        url: "rtmp://localhost/play".to_owned(),
        stream: "abcde-~one.two".parse().unwrap(),
        key: "k1".parse().unwrap(),
        grant,
    }
}

fn usual() -> Ticket {
    ticket(grant(&["abcde-~one.two"]))
}

/// Sealed as the gate seals, whatever the bytes are.
fn sealed(seals: &SealKeys, claims: &[u8]) -> String {
    let session = SessionId::new(u128::MAX);
    let body = format!("{session}.{}", URL_SAFE_NO_PAD.encode(claims));
    let (key, _) = seals.ticket_key("k1").unwrap();
    let seal = URL_SAFE_NO_PAD.encode(key.seal(&[&body]));
    format!("{body}.{seal}")
}

#[test]
fn a_ticket_reads_back_and_needs_no_escape() {
    let seals = SealKeys::new(&ring("k1", 1), None);
    let mut everything = grant(&["abcde-a", "abcde-~one.two"]);
    everything.not_before = Some(UnixSeconds::new(1_600_000_000));
    everything.at_expiry = AtExpiry::Cut;
    everything.addresses = vec!["192.0.2.0/24".parse().unwrap()];
    everything.referers = vec!["*.page.test".parse().unwrap()];
    everything.user = Some("a user".parse().unwrap());
    everything.sessions = std::num::NonZeroU16::new(3);
    let mut endless = grant(&["abcde-~one.two"]);
    endless.expires = None;
    endless.scope = Scope::Organisation("abcde".parse().unwrap());
    for ticket in [usual(), ticket(everything), ticket(endless)] {
        let text = seals.write(&ticket).unwrap();
        let open = seals.open(&text).unwrap();
        assert_eq!(open.ticket, ticket);
        assert_eq!(open.owner, "abcde".parse().unwrap());
        let unreserved = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
        assert!(text.bytes().all(unreserved), "{text}");
        assert!(text.len() <= 300, "{} {text}", text.len());
    }
}

#[test]
fn a_ticket_has_nothing_that_could_be_presented_as_a_token() {
    let ring = ring("k1", 1);
    let owner = "abcde".parse().unwrap();
    let minted = ring.mint(&owner, &usual().grant).unwrap();
    let claims = ring.verify(Presented::from(&minted)).unwrap();
    let named = (SessionId::new(1), "7".to_owned());
    let source = ("rtmp://localhost/play".to_owned(), usual().stream);
    let ticket = Ticket::new(named, source, &claims);
    let text = SealKeys::new(&ring, None).write(&ticket).unwrap();
    let (_, mac) = minted.token.rsplit_once('.').unwrap();
    let mac = URL_SAFE_NO_PAD.decode(mac).unwrap();
    let claims = URL_SAFE_NO_PAD
        .decode(text.split('.').nth(1).unwrap())
        .unwrap();
    for part in mac.windows(4) {
        assert!(!claims.windows(4).any(|bytes| bytes == part));
    }
    assert!(!text.contains("h1.") && !text.contains(&minted.token));
}

#[test]
fn the_longest_token_has_a_ticket_and_nothing_longer_is_read() {
    let ring = ring("k1", 1);
    let seals = SealKeys::new(&ring, None);
    let mut long = grant(&["abcde-~one.two"]);
    long.tag = "t".repeat(256).parse().unwrap();
    long.user = Some("u".repeat(128).parse().unwrap());
    let page =
        |n: usize, length: usize| format!("{n:02}{}.{}.test", "a".repeat(40), "b".repeat(length));
    let mut length = 1;
    loop {
        let pages = (0..LIST_LIMIT).map(|n| page(n, length).parse().unwrap());
        let longer = Grant {
            referers: pages.collect(),
            ..long.clone()
        };
        match ring.mint(&"abcde".parse().unwrap(), &longer) {
            Ok(_) => long = longer,
            Err(_) => break,
        }
        length += 1;
    }
    let minted = ring.mint(&"abcde".parse().unwrap(), &long).unwrap();
    assert!(minted.token.len() > TOKEN_LIMIT - 50);
    let ticket = Ticket {
        player: "p".repeat(PLAYER_LIMIT),
        ..ticket(long)
    };
    let text = seals.write(&ticket).unwrap();
    assert_eq!(seals.open(&text).unwrap().ticket, ticket);
    // Sealed rightly, and yet too long.
    let too_long = Ticket {
        url: "u".repeat(TICKET_LIMIT),
        ..usual()
    };
    assert_eq!(seals.write(&too_long), None);
    let text = sealed(&seals, &too_long.encode().unwrap());
    assert_eq!(seals.open(&text).unwrap_err(), TicketError::Malformed);
}

#[test]
fn every_changed_character_is_a_wrong_ticket() {
    let seals = SealKeys::new(&ring("k1", 1), None);
    let text = seals.write(&usual()).unwrap();
    for at in 0..text.len() {
        for with in ["A", "B", ".", "0", "_", ""] {
            let mut changed = text.clone();
            changed.replace_range(at..=at, with);
            assert!(
                changed == text || seals.open(&changed).is_err(),
                "{changed}"
            );
        }
    }
    assert!(SealKeys::new(&ring("k1", 2), None).open(&text).is_err());
    assert!(SealKeys::new(&ring("k2", 1), None).open(&text).is_err());
}

#[test]
fn a_ticket_has_one_spelling_and_one_version() {
    let seals = SealKeys::new(&ring("k1", 1), None);
    let bytes = usual().encode().unwrap();
    assert!(seals.open(&sealed(&seals, &bytes)).is_ok());
    let mut spelled_out = Vec::from([VERSION]);
    let stream = usual().stream;
    for text in [
        "k1",
        "1234567890",
        "rtmp://localhost/play",
        stream.as_str(),
        "1700003600",
        "",
    ] {
        spelled_out.extend_from_slice(&u16::try_from(text.len()).unwrap().to_be_bytes());
        spelled_out.extend_from_slice(text.as_bytes());
    }
    spelled_out.extend_from_slice(&usual().grant.carried().unwrap());
    let mut others = vec![spelled_out, Vec::new(), vec![VERSION]];
    for version in [0, 2] {
        let mut other = bytes.clone();
        other[0] = version;
        others.push(other);
    }
    others.push([&bytes[..], &[0]].concat());
    for cut in 1..bytes.len() {
        others.push(bytes[..cut].to_vec());
    }
    let nameless = Ticket {
        player: "p".repeat(PLAYER_LIMIT + 1),
        ..usual()
    };
    assert_eq!(
        seals
            .open(&seals.write(&nameless).unwrap())
            .unwrap()
            .ticket
            .player,
        ""
    );
    for other in others {
        let text = sealed(&seals, &other);
        assert_eq!(
            seals.open(&text).unwrap_err(),
            TicketError::Malformed,
            "{other:?}"
        );
    }
}

#[test]
fn a_key_that_is_gone_still_knows_its_seals_until_the_restart() {
    let (old, new) = (ring("k1", 1), ring("k2", 2));
    let before = SealKeys::new(&old, None);
    let text = before.write(&usual()).unwrap();
    let link = Link {
        owner: &"abcde".parse().unwrap(),
        stream: &"abcde-one".parse().unwrap(),
        definitions: "",
        target: "a/1.ts",
    };
    let signature = link.sign(&before);
    let signature = str::from_utf8(signature.as_bytes()).unwrap();
    let after = SealKeys::new(&new, Some(&before));
    assert!(after.open(&text).is_ok() && link.is_signed(&after, signature));
    // What is written from now on is of the new key.
    assert_ne!(link.sign(&after), link.sign(&before));
    assert!(SealKeys::new(&new, None).open(&text).is_err());
}
