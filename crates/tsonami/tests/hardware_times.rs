//! A device that keeps no times of what it sends.

use tsonami::{BuildError, Config, HardwareTimes, LocalEngine, OpenError};

#[test]
fn s33_a_device_without_times_is_an_error_where_they_are_required() {
    let mut config = Config::new("null", "10.0.0.2/24".parse().unwrap());
    config.memory.mib = Some(256);
    let required = LocalEngine::builder(config).hardware_times(HardwareTimes::Required);
    let Err(error) = required.build_local() else { panic!("net_null keeps no times") };
    assert!(matches!(error, BuildError::Open(OpenError::NoTxStamps { .. })), "{error}");
    let text = error.to_string();
    assert!(text.contains("net_null") && text.contains("rte_eth_timesync_enable"), "{text}");
    assert!(text.contains("hardware_times = \"if-available\""), "what to do: {text}");
}
