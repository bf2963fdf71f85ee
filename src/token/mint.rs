//! Minting: a grant to the four strings that travel.

use std::fmt;

use hmac::Mac;

use super::{Grant, Keyring, MintError, Options, Owner, Presented, TOKEN_LIMIT, wire};

/// The security object: four strings, empty where nothing was asked for (protocol.md 1).
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Security {
    /// Unix time in whole seconds, or empty.
    pub expires: String,
    /// The customer's own string, or empty.
    pub tag: String,
    /// The token, `h1.…`.
    pub token: String,
    /// The decimal mask of what the token is bound to.
    pub options: String,
}

impl fmt::Debug for Security {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Presented::from(self).fmt(f)
    }
}

impl Keyring {
    /// Signs `grant` with the first active key of `owner`. The result verifies with this ring, or there is none.
    pub fn mint(&self, owner: &Owner, grant: &Grant) -> Result<Security, MintError> {
        let key = self
            .signing(owner)
            .ok_or_else(|| MintError::NoActiveKey(owner.clone()))?;
        super::verify::check_consistency(grant)?;
        self.check_ownership(owner, &grant.scope)?;
        let claims = wire::encode(grant)?;
        let length = wire::joined_length(&key.id, &claims);
        if length > TOKEN_LIMIT {
            let (claim, bytes) = wire::longest(&claims);
            return Err(MintError::TooLong {
                length,
                claim,
                bytes,
            });
        }
        let mut security = Security {
            expires: grant
                .expires
                .map(|time| time.to_string())
                .unwrap_or_default(),
            tag: grant.tag.to_string(),
            token: String::new(),
            options: Options::of(grant).to_string(),
        };
        let mut mac = key.mac();
        wire::signed_message(
            key.id.as_str(),
            Presented::from(&security),
            &claims,
            |bytes| {
                mac.update(bytes);
            },
        );
        security.token = wire::join(&key.id, &claims, &mac.finalize().into_bytes().into());
        Ok(security)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_never_printed() {
        let security = Security {
            expires: "1700003600".into(),
            tag: "customer-4711".into(),
            token: "h1.k1.AAAA.BBBB".into(),
            options: "9".into(),
        };
        let presented = Presented::from(&security);
        for text in [format!("{security:?}"), format!("{presented:?}")] {
            assert!(
                text.contains("1700003600") && !text.contains("h1"),
                "{text}"
            );
        }
    }
}
