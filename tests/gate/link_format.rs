//! What the gate writes into a playlist it reads back: the ticket, and the path and query on the media server.

use h5gate::hls::link::{Link, LinkPath, Named, Written, as_asked, link_target};
use h5gate::hls::seal_keys::SealKeys;
use h5gate::hls::ticket::Ticket;
use h5gate::request::http_playback::HttpTarget;
use h5gate::session::id::SessionId;
use h5gate::token::{
    Grant, Key, KeyState, Keyring, Owner, Scope, Secret, StreamName, TokenId, UnixSeconds,
};
use proptest::prelude::*;

use crate::properties::settings;

fn keyring() -> Keyring {
    let secret = Secret::new(vec![1; 32]).unwrap();
    let (id, owner) = ("abcde-1".parse().unwrap(), "abcde".parse().unwrap());
    let key = Key::new(id, owner, KeyState::Active, &secret);
    Keyring::new([], [key]).unwrap()
}

/// Any ticket that a playback may have.
fn ticket() -> impl Strategy<Value = Ticket> {
    let stream = "abcde-[A-Za-z0-9._~-]{1,100}";
    let (tag, player, source) = (
        "[ -~]{0,30}",
        "\\PC{0,16}",
        "rtmp://[a-z.]{1,20}/[a-z/?=&]{0,20}",
    );
    (any::<u128>(), player, source, stream, tag).prop_map(|(session, player, url, stream, tag)| {
        let stream: StreamName = stream.parse().unwrap();
        let scope = Scope::stream(stream.clone());
        let mut grant = Grant::new(TokenId::new([7; 16]), UnixSeconds::new(1), scope);
        grant.expires = Some(UnixSeconds::new(4_000_000_000));
        grant.tag = tag.parse().unwrap_or_default();
        Ticket {
            session: SessionId::new(session),
            player,
            url,
            stream,
            key: "abcde-1".parse().unwrap(),
            grant,
        }
    })
}

/// A path and query as they leave: without a leading slash, without dot segments, in the characters of a URI.
fn path_and_query() -> impl Strategy<Value = String> {
    let segment = "[A-Za-z0-9_~!$&'()*+,;=:@-]{0,8}(\\.ts|%C3%BC|%2C)?";
    let first = segment.prop_filter("no path begins with a slash", |first| !first.is_empty());
    let path = (first, proptest::collection::vec(segment, 0..5));
    let parameter = "[a-z0-9._~!$'()*+,;:@/?-]{0,6}(=[A-Za-z0-9._~!$()*+,;:@/?=%20-]{0,8})?";
    let query = proptest::collection::vec(parameter, 0..5);
    (path, proptest::option::of(query)).prop_map(|((first, segments), query)| {
        let path = std::iter::once(first).chain(segments);
        let path = path.collect::<Vec<_>>().join("/");
        query.map_or(path.clone(), |query| format!("{path}?{}", query.join("&")))
    })
}

proptest! {
    #![proptest_config(settings())]

    #[test]
    fn what_is_written_reads_back(
        ticket in ticket(),
        link in path_and_query(),
        definitions in "([A-Za-z0-9_-]{4}){0,8}",
    ) {
        let seals = SealKeys::new(&keyring(), None);
        let owner: Owner = "abcde".parse().unwrap();
        let sealed = |target: &str, definitions: &str| Link {
            owner: &owner,
            stream: &ticket.stream,
            definitions,
            target,
        }.sign(&seals);
        let written = seals.write(&ticket).unwrap();
        let mut text = format!("/h5live/authhttp/~{written}/").into_bytes();
        let target = link_target(&link);
        let new = Written {
            to_ticket: "",
            definitions: &definitions,
            path_and_query: &link,
            target: &target,
        };
        new.write(sealed(&target, &definitions), &mut text);
        let text = String::from_utf8(text).unwrap();

        let (path, query) = match text.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (text.as_str(), None),
        };
        let Some(HttpTarget::Link(read)) = HttpTarget::read(path) else {
            return Err(TestCaseError::fail(format!("{path} is not below a ticket")));
        };
        let read = LinkPath::read(&read).unwrap();
        prop_assert_eq!(&seals.open(read.ticket).unwrap().ticket, &ticket);
        prop_assert_eq!(read.definitions, definitions.as_str());
        prop_assert_eq!(read.path, link.split('?').next().unwrap());
        let below = path.split('/').skip_while(|part| !part.starts_with('~')).count();
        prop_assert_eq!(read.depth, below - 2);
        let named = read.open(query, |signed| {
            let fits = sealed(signed, read.definitions).as_bytes() == read.signature.as_bytes();
            assert_eq!(fits, signed == target);
            fits
        });
        // As it was written it is one of the spellings whose answer is shared.
        let asked = format!("/{}", as_asked(&link));
        prop_assert_eq!(named, Some(Named { asked, is_usual: true }));
    }
}
