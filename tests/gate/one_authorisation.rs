//! What plays is authorised in one way, whether it starts, moves or switches: by one policy, and by the revocations of the
//! moment in which it has its place.

use std::sync::Arc;

use futures_util::FutureExt as _;
use h5gate::clock::Clock;
use h5gate::decision::Facts;
use h5gate::decision::denial::{Denial, Reason};
use h5gate::decision::permit::Permit;
use h5gate::decision::revocation::{Revocation, Target};
use h5gate::gate::Gate;
use h5gate::handler::authorization::Authorization;
use h5gate::handler::refused::Refused;
use h5gate::handler::websocket::Answer;
use h5gate::handler::websocket::admission::refuse;
use h5gate::request::client_address::ClientAddress;
use h5gate::request::referer::Referer;
use h5gate::session::id::SessionId;
use h5gate::session::seats::Delivery;
use h5gate::session::{Newcomer, Transport};
use h5gate::token::Security;

use crate::support::gate::grant;
use crate::support::memory::{GOOD, parse};

const STREAM: &str = "abcde-one";

fn gate() -> Arc<Gate> {
    Gate::new(
        parse(&GOOD.join("\n")).unwrap(),
        Clock::system(),
        None,
        None,
    )
}

fn token(gate: &Gate) -> Security {
    let owner = "abcde".parse().unwrap();
    gate.policy().keyring.mint(&owner, &grant(STREAM)).unwrap()
}

fn permit(authorization: Authorization<'_>, security: &Security) -> Permit {
    let url = authorization
        .policy
        .edge
        .rtmp_urls
        .find("rtmp://localhost/play");
    let facts = Facts {
        stream: STREAM.parse().unwrap(),
        url: url.unwrap(),
        address: ClientAddress::Known([192, 0, 2, 7].into()),
        referer: Referer::Absent,
        inherited: false,
    };
    authorization.permit(security, facts).unwrap()
}

fn newcomer(transport: Transport) -> Newcomer {
    Newcomer {
        id: SessionId::new(1),
        player: String::new(),
        transport,
        delivery: Delivery::Media,
    }
}

fn revoke(gate: &Gate) {
    let stream = Target::Stream(STREAM.parse().unwrap());
    let revoked = gate.revoke("abcde".parse().unwrap(), stream, None);
    revoked.now_or_never().expect("memory answers at once");
}

fn is_revoked(denial: &Denial) -> bool {
    matches!(denial.reason(), Reason::Revoked(_))
}

#[tokio::test]
async fn what_is_revoked_between_its_decision_and_its_place_has_no_place() {
    let gate = gate();
    let (policy, security) = (gate.policy(), token(&gate));
    let authorization = Authorization {
        gate: &gate,
        policy: &policy,
    };
    let permit = permit(authorization, &security);

    // A switch of a session that plays by another token.
    let other = self::permit(authorization, &token(&gate));
    let socket = newcomer(Transport::WebSocket);
    let guard = gate.sessions.open(&socket, other).await.unwrap();
    let lift = |gate: &Gate| {
        let all = gate.revocations().list().to_vec();
        let lift = |one: &Revocation| gate.lift(one.id).now_or_never();
        assert!(all.iter().all(|one| lift(one) == Some(true)));
    };
    revoke(&gate);
    let taken = guard.propose(permit.clone());
    let mut given_back = 0;
    let denied = authorization.enter(&permit, taken, |id| {
        guard.reject(id);
        given_back += 1;
    });
    assert!(is_revoked(&denied.unwrap_err()));
    assert_eq!(given_back, 1);
    drop(guard);
    lift(&gate);

    // A start over a WebSocket.
    revoke(&gate);
    let taken = gate.hls.open_other(&socket, &permit).await;
    let denied = authorization.enter(&permit, taken, drop);
    assert!(is_revoked(&denied.unwrap_err()));
    assert_eq!(gate.sessions.count(), 0);
    lift(&gate);

    // A start over HTTP.
    revoke(&gate);
    let over_http = newcomer(Transport::Hls);
    let taken = gate.hls.open(&over_http, None, &permit).await;
    let denied = authorization.enter(&permit, taken, |opened| gate.hls.withdraw(&opened.session));
    assert!(is_revoked(&denied.unwrap_err()));
    assert_eq!((gate.sessions.count(), gate.hls.counts().playing), (0, 0));
    lift(&gate);

    // Without a revocation each has its place.
    let taken = gate.hls.open(&over_http, None, &permit).await;
    authorization
        .enter(&permit, taken, |_| unreachable!())
        .unwrap();
    assert_eq!(gate.sessions.count(), 1);
}

#[test]
fn a_refusal_is_told_by_the_policy_that_decided_though_a_reload_came_in_between() {
    let gate = gate();
    let address = ClientAddress::Known([192, 0, 2, 7].into());
    let refused = Refused::unnamed(Reason::Ticket, address);
    let by_status = GOOD.join("\n") + "\n[refusal]\nwebsocket = \"http-status\"\n";

    let policy = gate.policy();
    gate.reload(parse(&by_status).unwrap());
    let told = refuse(&gate, &policy, &refused);
    assert!(matches!(told, Answer::Switch { .. }), "{told:?}");

    let policy = gate.policy();
    gate.reload(parse(&GOOD.join("\n")).unwrap());
    let told = refuse(&gate, &policy, &refused);
    assert!(matches!(told, Answer::Status { .. }), "{told:?}");
}
