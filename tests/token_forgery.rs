//! Nobody without a key makes a token, and nobody with one makes two spellings of it. Properties, over random grants,
//! random changes and random claims that are signed all the same.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

#[path = "token_forgery/claims.rs"]
mod claims;
#[path = "token_forgery/grants.rs"]
mod grants;
mod properties;
#[path = "token_forgery/strings.rs"]
mod strings;

use std::cell::Cell;

use h5gate::token::{Grant, Presented, Scope, TokenId, UnixSeconds, inspect};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::TestRunner;

use claims::{changes, random_claims};
use grants::{grants, of_other_owner, sorted};
use properties::settings;
use strings::{Strings, keyring, other_owner, owner};

proptest! {
    #![proptest_config(settings())]

    #[test]
    fn any_grant_that_mints_verifies_to_itself(grant in grants()) {
        let security = keyring().mint(&owner(), &grant).unwrap();
        let claims = keyring().verify(Presented::from(&security)).unwrap();
        prop_assert_eq!(claims.key.as_str(), "k1");
        prop_assert_eq!(claims.owner, owner());
        prop_assert_eq!(sorted(claims.grant.clone()), sorted(grant));
        // What verified mints to the same strings: no two grants of one meaning, no two tokens of one grant.
        let again = keyring().mint(&owner(), &claims.grant).unwrap();
        prop_assert_eq!(Strings::of(&again), Strings::of(&security));
    }

    #[test]
    fn a_changed_bit_is_refused_whatever_the_grant(grant in grants(), bits in vec(any::<Index>(), 32)) {
        let strings = Strings::of(&keyring().mint(&owner(), &grant).unwrap());
        for bit in bits {
            let bit = bit.index(strings.bits());
            if let Some(changed) = strings.with_bit_changed(bit) {
                prop_assert!(keyring().verify(changed.presented()).is_err(), "bit {bit} of {strings:?}");
            }
        }
    }

    #[test]
    fn any_splice_of_two_tokens_is_refused(one in grants(), two in grants(), same_owner: bool, from_two in 1..127_u8) {
        let other = if same_owner { owner() } else { other_owner() };
        let two = if same_owner { two } else { of_other_owner(two) };
        let one = Strings::of(&keyring().mint(&owner(), &one).unwrap());
        let two = Strings::of(&keyring().mint(&other, &two).unwrap());
        let spliced = one.spliced(&two, from_two);
        prop_assume!(spliced != one && spliced != two);
        prop_assert!(keyring().verify(spliced.presented()).is_err(), "{spliced:?}");
    }

    #[test]
    fn any_other_division_of_the_same_characters_is_refused(grant in grants(), one: Index, two: Index) {
        let strings = Strings::of(&keyring().mint(&owner(), &grant).unwrap());
        let all: Vec<char> = format!("{}{}{}", strings.options, strings.expires, strings.tag).chars().collect();
        let (one, two) = (one.index(all.len() + 1), two.index(all.len() + 1));
        let (options, rest) = all.split_at(one.min(two));
        let (expires, tag) = rest.split_at(one.max(two) - one.min(two));
        let divided = Strings {
            token: strings.token.clone(),
            options: options.iter().collect(),
            expires: expires.iter().collect(),
            tag: tag.iter().collect(),
        };
        prop_assume!(divided != strings);
        prop_assert!(keyring().verify(divided.presented()).is_err(), "{divided:?}");
    }

    #[test]
    fn arbitrary_strings_are_refused(token in tokens(), options in fields(), expires in fields(), tag in fields()) {
        let presented = Presented { token: &token, options: &options, expires: &expires, tag: &tag };
        prop_assert!(keyring().verify(presented).is_err());
        let _ = inspect(&token);
    }
}

#[test]
fn changed_claims_that_verify_are_in_their_one_spelling() {
    only_the_one_spelling_verifies((grants(), vec(changes(), 1..3)).prop_map(
        |(grant, changes)| {
            let strings = Strings::of(&keyring().mint(&owner(), &grant).unwrap());
            let mut claims = strings.claims();
            for change in &changes {
                change.apply(&mut claims);
            }
            (claims, strings.expires)
        },
    ));
}

#[test]
fn random_claims_that_verify_are_in_their_one_spelling() {
    only_the_one_spelling_verifies((random_claims(), "|[1-9][0-9]{0,18}"));
}

#[test]
fn every_changed_bit_of_a_typical_token_is_refused() {
    let mut grant = Grant::new(
        TokenId::new([7; 16]),
        UnixSeconds::new(1_700_000_000),
        Scope::stream("abcde-one".parse().unwrap()),
    );
    grant.expires = Some(UnixSeconds::new(1_700_003_600));
    grant.addresses = vec!["192.0.2.17".parse().unwrap()];
    grant.tag = "customer-4711".parse().unwrap();
    let strings = Strings::of(&keyring().mint(&owner(), &grant).unwrap());
    assert!(keyring().verify(strings.presented()).is_ok());
    let mut changed = 0;
    for bit in 0..strings.bits() {
        if let Some(forged) = strings.with_bit_changed(bit) {
            assert!(
                keyring().verify(forged.presented()).is_err(),
                "bit {bit}: {forged:?}"
            );
            changed += 1;
        }
    }
    // Seven of eight bits of each ASCII character leave it ASCII; the eighth is no text any more.
    assert_eq!(changed, strings.bits() / 8 * 7);
}

#[test]
fn the_signature_made_here_is_the_one_that_mints() {
    let grant = Grant::new(
        TokenId::new([7; 16]),
        UnixSeconds::new(1),
        Scope::stream("abcde-one".parse().unwrap()),
    );
    let strings = Strings::of(&keyring().mint(&owner(), &grant).unwrap());
    assert_eq!(
        Strings::signed(
            &strings.claims(),
            &strings.options,
            &strings.expires,
            &strings.tag
        ),
        strings
    );
}

/// Signs claims with each possible mask. Whatever verifies must be exactly what minting makes of its meaning.
fn only_the_one_spelling_verifies(claims: impl Strategy<Value = (Vec<u8>, String)>) {
    let verified = Cell::new(0);
    let check = |(claims, expires): (Vec<u8>, String)| {
        for options in 0..32 {
            let signed = Strings::signed(&claims, &options.to_string(), &expires, "");
            if let Ok(meaning) = keyring().verify(signed.presented()) {
                let minted = keyring().mint(&owner(), &meaning.grant).unwrap();
                prop_assert_eq!(Strings::of(&minted), signed);
                verified.set(verified.get() + 1);
            }
        }
        Ok(())
    };
    let settings = ProptestConfig {
        source_file: Some(file!()),
        ..settings()
    };
    TestRunner::new(settings).run(&claims, check).unwrap();
    assert!(verified.get() > 0, "nothing verified, so nothing was shown");
}

/// Almost tokens, and anything.
fn tokens() -> impl Strategy<Value = String> {
    prop_oneof![
        "h1\\.k[1-5]\\.[A-Za-z0-9_-]{0,80}\\.[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]",
        "h1(\\.[A-Za-z0-9_=+/-]{0,64}){2,4}",
        "[hH]?[0-9]?(\\.[A-Za-z0-9_=+/-]{0,64}){0,5}",
        "\\PC{0,64}",
        any::<String>(),
        Just("x".repeat(2049)),
    ]
}

fn fields() -> impl Strategy<Value = String> {
    prop_oneof![
        "|[0-9]{1,3}",
        "[0-9]{1,25}",
        "[-+ ]?[0-9]{1,10}[ \\n]?",
        any::<String>()
    ]
}
