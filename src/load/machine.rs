//! What a load test needs of its machine: descriptors, and two clocks.

use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};

/// Descriptors that are no viewer's: the runtimes' own, the API's connections, standard streams.
const OWN_DESCRIPTORS: u64 = 100;

/// Where Linux says which local ports connections get.
const PORT_RANGE: &str = "/proc/sys/net/ipv4/ip_local_port_range";

/// There are too few descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{viewers} viewers need {needed} file descriptors, and this process may have {limit}: raise the hard limit \
     (ulimit -Hn, LimitNOFILE){}",
    fewer(.possible)
)]
pub struct TooFewDescriptors {
    viewers: u32,
    needed: u64,
    limit: u64,
    possible: u64,
}

/// What can be done without another limit.
fn fewer(possible: &u64) -> String {
    match possible {
        0 => format!("; even one viewer needs {}", OWN_DESCRIPTORS + 1),
        1 => ", or take one viewer".to_owned(),
        _ => format!(", or take at most {possible} viewers"),
    }
}

/// Raises the soft limit of descriptors to the hard one, and says whether that is enough for so many viewers.
pub fn provide_descriptors(viewers: u32) -> Result<(), TooFewDescriptors> {
    let limit = raise_descriptors();
    let needed = u64::from(viewers) + OWN_DESCRIPTORS;
    if needed <= limit {
        return Ok(());
    }
    Err(TooFewDescriptors {
        viewers,
        needed,
        limit,
        possible: limit.saturating_sub(OWN_DESCRIPTORS),
    })
}

/// Raises the soft limit of descriptors to the hard one: how many there are then.
pub fn raise_descriptors() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let got = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    got.unwrap_or(u64::MAX)
}

/// A warning when the system has fewer local ports for one address than there are viewers.
#[must_use]
pub fn port_warning(viewers: u32) -> Option<String> {
    let range = std::fs::read_to_string(PORT_RANGE).ok()?;
    let ports = ports(&range)?;
    (viewers > ports).then(|| {
        format!(
            "warning: the system has {ports} local ports for one address and {viewers} viewers need one each; widen \
             net.ipv4.ip_local_port_range, or the last ones cannot connect"
        )
    })
}

fn ports(range: &str) -> Option<u32> {
    let mut ends = range.split_whitespace().map(str::parse::<u32>);
    let (first, last) = (ends.next()?.ok()?, ends.next()?.ok()?);
    last.checked_sub(first).map(|between| between + 1)
}

/// `CLOCK_MONOTONIC`: the same for all processes of one machine, and nothing to another one.
#[must_use]
pub fn monotonic() -> Duration {
    since(ClockId::Monotonic)
}

/// The processor time of this process so far, all its threads together.
#[must_use]
pub fn cpu_time() -> Duration {
    since(ClockId::ProcessCPUTime)
}

fn since(clock: ClockId) -> Duration {
    // Both clocks begin at 0 and have no negative values.
    clock_gettime(clock).try_into().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_few_descriptors_are_said_with_what_is_possible() {
        assert!(provide_descriptors(1).is_ok());
        let have = raise_descriptors();
        if let Ok(all) = u32::try_from(have) {
            let refused = provide_descriptors(all).unwrap_err();
            let possible = format!("at most {} viewers", have - OWN_DESCRIPTORS);
            assert!(refused.to_string().contains(&possible), "{refused}");
        }
    }

    #[test]
    fn a_port_range_is_counted() {
        assert_eq!(ports("32768\t60999\n"), Some(28_232));
        assert_eq!(ports("1"), None);
        assert_eq!(ports("5 4"), None);
    }
}
