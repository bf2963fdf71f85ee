//! How the properties of the library and of its tests are tried.

use proptest::test_runner::{Config, FileFailurePersistence};

/// What fails is kept beside the file of the property, as `NAME.regressions`, and tried first from then on.
pub(crate) fn settings() -> Config {
    let beside = FileFailurePersistence::WithSource("regressions");
    Config {
        failure_persistence: Some(Box::new(beside)),
        ..Config::default()
    }
}
