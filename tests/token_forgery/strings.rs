//! The four strings as a forger handles them, and the keys that they are held against.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use h5gate::token::{Key, KeyState, Keyring, Owner, Presented, Secret, Security};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

const SECRET: [u8; 32] = [0x5a; 32];

pub(crate) fn keyring() -> &'static Keyring {
    static KEYRING: LazyLock<Keyring> = LazyLock::new(|| {
        let key = |id: &str, owner, state, byte| {
            let secret = Secret::new(vec![byte; 32]).unwrap();
            Key::new(id.parse().unwrap(), owner, state, &secret)
        };
        let keys = [
            key("k1", owner(), KeyState::Active, SECRET[0]),
            key("k2", owner(), KeyState::Retiring, 2),
            key("k3", other_owner(), KeyState::Active, 3),
            key("k4", Owner::Unlisted, KeyState::Active, 4),
        ];
        Keyring::new([], keys).unwrap()
    });
    &KEYRING
}

pub(crate) fn owner() -> Owner {
    "abcde".parse().unwrap()
}

pub(crate) fn other_owner() -> Owner {
    "fghij".parse().unwrap()
}

/// The four strings, in a form that can be changed and shown.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Strings {
    pub token: String,
    pub options: String,
    pub expires: String,
    pub tag: String,
}

impl Strings {
    pub(crate) fn of(security: &Security) -> Self {
        Self {
            token: security.token.clone(),
            options: security.options.clone(),
            expires: security.expires.clone(),
            tag: security.tag.clone(),
        }
    }

    /// Signed by `k1`, whatever the claims are: M and the token as the documentation of the module has them.
    pub(crate) fn signed(claims: &[u8], options: &str, expires: &str, tag: &str) -> Self {
        let mut mac = Hmac::<Sha256>::new_from_slice(&SECRET).unwrap();
        mac.update(b"h5gate-token/h1\0");
        for part in [
            b"k1",
            options.as_bytes(),
            expires.as_bytes(),
            tag.as_bytes(),
            claims,
        ] {
            mac.update(&u32::try_from(part.len()).unwrap().to_be_bytes());
            mac.update(part);
        }
        let (claims, signature) = (
            URL_SAFE_NO_PAD.encode(claims),
            URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()),
        );
        Self {
            token: format!("h1.k1.{claims}.{signature}"),
            options: options.to_owned(),
            expires: expires.to_owned(),
            tag: tag.to_owned(),
        }
    }

    pub(crate) fn presented(&self) -> Presented<'_> {
        Presented {
            token: &self.token,
            options: &self.options,
            expires: &self.expires,
            tag: &self.tag,
        }
    }

    pub(crate) fn claims(&self) -> Vec<u8> {
        URL_SAFE_NO_PAD
            .decode(self.token.split('.').nth(2).unwrap())
            .unwrap()
    }

    fn fields(&self) -> [&str; 4] {
        [&self.token, &self.options, &self.expires, &self.tag]
    }

    pub(crate) fn bits(&self) -> usize {
        self.fields().iter().map(|field| field.len() * 8).sum()
    }

    /// One bit of the four strings behind one another changed; nothing where that leaves no text.
    pub(crate) fn with_bit_changed(&self, bit: usize) -> Option<Self> {
        let mut at = bit;
        let changed = self.fields().map(|field| {
            let mut bytes = field.as_bytes().to_vec();
            if let Some(byte) = bytes.get_mut(at / 8) {
                *byte ^= 1 << (at % 8);
                at = usize::MAX;
            } else {
                at = at.saturating_sub(field.len() * 8);
            }
            String::from_utf8(bytes).ok()
        });
        let [token, options, expires, tag] = changed;
        Some(Self {
            token: token?,
            options: options?,
            expires: expires?,
            tag: tag?,
        })
    }

    /// Each part is taken from the other where its bit is set: the token's four, options, expires, tag.
    pub(crate) fn spliced(&self, other: &Self, from_other: u8) -> Self {
        let choose = |bit: usize, ours: &str, theirs: &str| {
            let chosen = if from_other >> bit & 1 == 1 {
                theirs
            } else {
                ours
            };
            chosen.to_owned()
        };
        let parts = self.token.split('.').zip(other.token.split('.'));
        let token: Vec<_> = parts
            .enumerate()
            .map(|(bit, (ours, theirs))| choose(bit, ours, theirs))
            .collect();
        Self {
            token: token.join("."),
            options: choose(4, &self.options, &other.options),
            expires: choose(5, &self.expires, &other.expires),
            tag: choose(6, &self.tag, &other.tag),
        }
    }
}
