//! Reloads of the configuration, at each SIGHUP.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::Notify;

use crate::config::{Config, Notice};
use crate::gate::Gate;
use crate::gate::policy::Policy;
use crate::metrics::Why;
use crate::state::within;

/// Reloads whenever that is asked for, one after the other; what is asked for meanwhile is one more reload.
pub(super) async fn keep_reloading(gate: Arc<Gate>, path: PathBuf, asked: Arc<Notify>) {
    loop {
        asked.notified().await;
        reload(&gate, &path).await;
    }
}

/// Tells of keys that were taken away while something plays by them: it goes on, and cannot come back once it has been quiet or
/// has lost its connection.
fn warn_of_keys_in_use(gate: &Gate, before: &Policy) {
    let policy = gate.policy();
    let mut used: BTreeMap<String, usize> = BTreeMap::new();
    for session in gate.sessions.list() {
        let permit = session.permit();
        let key = &permit.claims().key;
        if before.keyring.has(key) && !policy.keyring.has(key) {
            *used.entry(key.to_string()).or_default() += 1;
        }
    }
    for (key, playbacks) in used {
        tracing::warn!(
            key,
            playbacks,
            "playbacks use a key that is no longer configured"
        );
    }
}

/// Reads the configuration again and decides by it from now on. A bad file changes nothing, and neither does one that
/// cannot be read for so long that it is given up: by then it may be older than the next one.
async fn reload(gate: &Gate, path: &Path) {
    let file = path.to_owned();
    let patience = gate.timeouts.disk;
    let problems = match within(patience, move || Config::load(&file)).await {
        Ok(Some(Ok(config))) => {
            tell(&config.dangers, &config.warnings);
            let before = gate.policy();
            gate.reload(config);
            warn_of_keys_in_use(gate, &before);
            count_reload(gate, "ok");
            tracing::info!(file = %path.display(), "configuration reloaded");
            return;
        }
        Ok(Some(Err(errors))) => errors.iter().map(ToString::to_string).collect(),
        Ok(None) => {
            let path = path.display();
            vec![format!(
                "{path} or a secret of it could not be read within {patience:?} (timeouts.disk)"
            )]
        }
        Err(error) => vec![error.to_string()],
    };
    count_reload(gate, "failed");
    for error in problems {
        tracing::error!(error, "configuration not reloaded");
    }
}

/// Logs what an operator should hear of a configuration that comes into force.
pub(super) fn tell(dangers: &[Notice], warnings: &[Notice]) {
    for danger in dangers {
        tracing::warn!(%danger, "a setting weakens a check");
    }
    for warning in warnings {
        tracing::warn!(%warning, "a setting is probably not meant");
    }
}

fn count_reload(gate: &Gate, reason: &'static str) {
    gate.metrics.reloads.get_or_create(&Why { reason }).inc();
}
