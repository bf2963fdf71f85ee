//! A permit, made as the gate makes it: by way of a minted token.

use h5gate::decision::permit::Permit;
use h5gate::decision::revocation::Revocations;
use h5gate::decision::rules::Rules;
use h5gate::decision::{Facts, decide};
use h5gate::request::client_address::ClientAddress;
use h5gate::request::referer::Referer;
use h5gate::token::{
    Grant, Key, KeyState, Keyring, Owner, Presented, Scope, Secret, TokenId, UnixSeconds,
};

/// When it is decided.
pub(crate) const NOW: UnixSeconds = UnixSeconds::new(1_700_000_000);
/// The source of every stream.
pub(crate) const URL: &str = "rtmp://localhost/play";

/// A permit for a stream of organisation `abcde`, for a viewer at `address`.
pub(crate) fn permit(
    stream: &str,
    address: ClientAddress,
    change: impl FnOnce(&mut Grant),
) -> Permit {
    let owner: Owner = "abcde".parse().unwrap();
    let secret = Secret::new(vec![7; 32]).unwrap();
    let id = "k1".parse().unwrap();
    let key = Key::new(id, owner.clone(), KeyState::Active, &secret);
    let keyring = Keyring::new([], [key]).unwrap();
    let scope = Scope::stream(stream.parse().unwrap());
    let mut grant = Grant::new(TokenId::new([1; 16]), NOW, scope);
    change(&mut grant);
    let security = keyring.mint(&owner, &grant).unwrap();
    let claims = keyring.verify(Presented::from(&security)).unwrap();
    let facts = Facts {
        stream: stream.parse().unwrap(),
        url: URL.parse().unwrap(),
        address,
        referer: Referer::Absent,
        inherited: false,
    };
    let (rules, revocations) = (Rules::default(), Revocations::default());
    decide(claims, facts, &rules, &revocations, NOW).unwrap()
}
