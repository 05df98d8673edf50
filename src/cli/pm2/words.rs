//! pm2's words and figures.

use crate::model::phase::State;

/// pm2's word for a state.
pub fn status_word(state: State) -> &'static str {
    match state {
        State::Starting => "launching",
        State::Online => "online",
        State::Stopping => "stopping",
        State::Stopped => "stopped",
        State::BackingOff | State::CrashLoop => "waiting restart",
        State::Failed => "errored",
    }
}

/// `0b`, `512b`, `45.2mb`, `1.2gb`.
pub(super) fn memory(bytes: Option<u64>) -> String {
    const UNITS: [&str; 4] = ["b", "kb", "mb", "gb"];
    let bytes = bytes.unwrap_or(0);
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    match unit {
        0 => format!("{bytes}b"),
        _ => format!("{value:.1}{}", UNITS[unit]),
    }
}

/// `0%`, `12.5%`.
pub(super) fn cpu(percent: Option<f64>) -> String {
    let text = format!("{:.1}", percent.unwrap_or(0.0));
    format!("{}%", text.strip_suffix(".0").unwrap_or(&text))
}

/// pm2's age of a process: one unit, changed at two of it: `119s`, `2m`, `119m`, `2h`, `2D`.
pub(super) fn uptime(millis: Option<u64>) -> String {
    let Some(millis) = millis else {
        return "0".to_owned();
    };
    let seconds = millis / 1000;
    const UNITS: [(u64, &str); 5] =
        [(31_536_000, "Y"), (2_592_000, "M"), (86_400, "D"), (3600, "h"), (60, "m")];
    match UNITS.iter().find(|(length, _)| seconds / length > 1) {
        Some((length, unit)) => format!("{}{unit}", seconds / length),
        None => format!("{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures() {
        let sizes = [
            (None, "0b"),
            (Some(0), "0b"),
            (Some(1023), "1023b"),
            (Some(1024), "1.0kb"),
            (Some(47_395_635), "45.2mb"),
            (Some(1 << 30), "1.0gb"),
            (Some(1 << 45), "32768.0gb"),
        ];
        for (bytes, text) in sizes {
            assert_eq!(memory(bytes), text);
        }
        for (percent, text) in
            [(None, "0%"), (Some(0.04), "0%"), (Some(12.53), "12.5%"), (Some(100.0), "100%")]
        {
            assert_eq!(cpu(percent), text);
        }
        let ages = [
            (None, "0"),
            (Some(999), "0s"),
            (Some(119_999), "119s"),
            (Some(120_000), "2m"),
            (Some(7_199_000), "119m"),
            (Some(7_200_000), "2h"),
            (Some(200_000_000), "2D"),
            (Some(6_000_000_000), "2M"),
            (Some(70_000_000_000), "2Y"),
        ];
        for (millis, text) in ages {
            assert_eq!(uptime(millis), text);
        }
    }

    #[test]
    fn states() {
        let table = [
            (State::Starting, "launching"),
            (State::Online, "online"),
            (State::Stopping, "stopping"),
            (State::Stopped, "stopped"),
            (State::BackingOff, "waiting restart"),
            (State::CrashLoop, "waiting restart"),
            (State::Failed, "errored"),
        ];
        for (state, word) in table {
            assert_eq!(status_word(state), word);
        }
    }
}
