//! The time zone of this machine: TZ, else /etc/localtime, as the C library has it.

/// How many seconds local time is ahead of UTC at that moment, seconds since 1970; 0 if nobody knows.
pub fn ahead_of_utc(unix_s: libc::time_t) -> i32 {
    #[expect(unsafe_code, reason = "std knows no time zones")]
    // SAFETY: all zeroes is a valid tm, and both pointers are those of values that live through the call. What it reads of
    // the environment nobody changes: set_var is banned (clippy.toml).
    unsafe {
        let mut local = std::mem::zeroed::<libc::tm>();
        if libc::localtime_r(&raw const unix_s, &raw mut local).is_null() {
            return 0;
        }
        i32::try_from(local.tm_gmtoff).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_zones_of_jiff() {
        let zone = jiff::tz::TimeZone::system();
        for unix_s in [0, 1_000_000_000, 1_795_374_300, 1_782_900_000] {
            let at = jiff::Timestamp::from_second(unix_s).unwrap();
            assert_eq!(ahead_of_utc(unix_s), zone.to_offset(at).seconds(), "{unix_s}");
        }
    }
}
