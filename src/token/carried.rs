//! Claims that travel without their token, in what the gate itself has sealed: a playback that comes back is decided by them,
//! and there is no token in its paths that could be presented again.

use super::{
    ClaimError, Claims, Grant, KeyId, Keyring, Tag, TokenError, UnixSeconds, verify, wire,
};

impl Grant {
    /// The claims of the wire form, which `expires` and the tag travel beside; `None` for those that no token can carry.
    #[must_use]
    pub fn carried(&self) -> Option<Vec<u8>> {
        wire::encode(self).ok()
    }

    /// Reads what [`carried`](Self::carried) writes, and nothing else.
    pub fn from_carried(
        claims: &[u8],
        expires: Option<UnixSeconds>,
        tag: Tag,
    ) -> Result<Self, ClaimError> {
        wire::decode(claims, expires, tag)
    }
}

impl Keyring {
    /// Claims whose signature was verified before: the key and what it may grant are looked at as [`verify`](Self::verify) does,
    /// since a reload may have changed both.
    pub fn recognise(&self, key: &KeyId, grant: Grant) -> Result<Claims, TokenError> {
        let (known, true) = self.lookup(key.as_str()) else {
            return Err(TokenError::UnknownKey(key.clone()));
        };
        verify::check_consistency(&grant)?;
        self.check_ownership(&known.owner, &grant.scope)?;
        Ok(Claims {
            key: known.id.clone(),
            owner: known.owner.clone(),
            grant,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::{AtExpiry, Key, KeyState, Owner, Scope, Secret, TokenId};

    fn ring(id: &str, owner: &str) -> Keyring {
        let secret = Secret::new(vec![7; 32]).unwrap();
        let (id, owner) = (id.parse().unwrap(), owner.parse().unwrap());
        Keyring::new([], [Key::new(id, owner, KeyState::Active, &secret)]).unwrap()
    }

    fn grant(stream: &str) -> Grant {
        let scope = Scope::stream(stream.parse().unwrap());
        let mut grant = Grant::new(TokenId::new([7; 16]), UnixSeconds::new(9), scope);
        grant.expires = Some(UnixSeconds::new(11));
        grant.tag = "a tag".parse().unwrap();
        grant.referers = vec!["page.test".parse().unwrap()];
        grant
    }

    #[test]
    fn claims_read_back_as_a_token_of_them_would() {
        let (ring, grant) = (ring("k1", "abcde"), grant("abcde-one"));
        let bytes = grant.carried().unwrap();
        let read = Grant::from_carried(&bytes, grant.expires, grant.tag.clone()).unwrap();
        let claims = ring.recognise(&"k1".parse().unwrap(), read).unwrap();
        let owner: Owner = "abcde".parse().unwrap();
        let minted = ring.mint(&owner, &grant).unwrap();
        assert_eq!(Ok(claims), ring.verify((&minted).into()));
    }

    #[test]
    fn what_no_token_of_the_key_may_say_is_not_recognised() {
        let ring = ring("k1", "abcde");
        let key = |id: &str| id.parse().unwrap();
        let unknown = ring.recognise(&key("k2"), grant("abcde-one"));
        assert_eq!(unknown, Err(TokenError::UnknownKey(key("k2"))));
        let foreign = ring.recognise(&key("k1"), grant("fghij-one"));
        let is_foreign = matches!(
            foreign,
            Err(TokenError::Claims(ClaimError::ForeignStream { .. }))
        );
        assert!(is_foreign, "{foreign:?}");
        let mut endless = grant("abcde-one");
        (endless.expires, endless.at_expiry) = (None, AtExpiry::Cut);
        let endless = ring.recognise(&key("k1"), endless);
        assert_eq!(endless, Err(ClaimError::CutWithoutExpiry.into()));
    }
}
