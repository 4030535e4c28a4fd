//! This machine's clock and randomness, for templates that ask.
//!
//! Owns nothing else: no cluster is looked into, as with `helm template`. Start at [`LocalHost`].

use gotemplate::Host;
use rand::RngCore as _;

/// The host of commands that only compute.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LocalHost;

impl Host for LocalHost {
    fn now_unix_nanos(&self) -> i128 {
        jiff::Timestamp::now().as_nanosecond()
    }

    fn fill_random(&self, buffer: &mut [u8]) {
        rand::rng().fill_bytes(buffer);
    }

    fn lookup(
        &self,
        _: &str,
        _: &str,
        _: &str,
        _: &str,
    ) -> Result<Option<serde_json::Value>, String> {
        Ok(None)
    }

    fn utc_offset_seconds(&self, unix_seconds: i64) -> i32 {
        let Ok(moment) = jiff::Timestamp::from_second(unix_seconds) else { return 0 };
        jiff::tz::TimeZone::system().to_offset(moment).seconds()
    }
}
