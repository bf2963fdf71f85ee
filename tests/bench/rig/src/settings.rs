//! What one measurement is told.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::str::FromStr;

use crate::Result;

/// The arguments of `rig measure ROW`.
#[derive(Debug)]
pub struct Settings {
    /// The proxy, where viewers connect.
    pub proxy: SocketAddr,
    /// Where the media server listens.
    pub origin: SocketAddr,
    /// The process that is measured.
    pub pid: u32,
    /// The request target of the viewers.
    pub target: String,
    rest: HashMap<String, String>,
}

impl Settings {
    /// Reads `key=value` arguments.
    pub fn read(arguments: &[&str]) -> Result<Self> {
        let mut rest = HashMap::new();
        for argument in arguments {
            let (key, value) = argument.split_once('=').ok_or("arguments are key=value")?;
            rest.insert(key.to_owned(), value.to_owned());
        }
        let mut take = |key: &str| rest.remove(key).ok_or(format!("{key}= is missing"));
        Ok(Self {
            proxy: take("proxy")?.parse()?,
            origin: take("origin")?.parse()?,
            pid: take("pid")?.parse()?,
            target: take("target")?,
            rest,
        })
    }

    /// A number of the row's own, or what it is without.
    pub fn number<T: FromStr>(&self, key: &str, default: T) -> Result<T> {
        match self.rest.get(key) {
            None => Ok(default),
            Some(text) => text
                .parse()
                .map_err(|_| format!("{key}={text} is no number").into()),
        }
    }
}
