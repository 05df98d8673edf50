//! Lines on their way to sinks: what is to be forwarded, how far each stream has come, and how that is shown.
//!
//! ```text
//! run/forward.json            the plan: written by the control plane, read by whoever forwards
//! state/sinks/NAME/web-out    how far the stream web-out has come in the sink NAME: two slots, written in turn, in place
//! run/sinks/NAME.json         how the sink is: written by whoever forwards, for whoever shows services
//! ```

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::log_line::StreamName;
use crate::model::dress::Dress;
use crate::model::name::ServiceName;
use crate::model::sink::Sink;

/// Size of a slot of a position, bytes.
pub const SLOT: usize = 512;

/// What is to be forwarded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Plan {
    /// [`super::VERSION`] of the writer.
    pub v: u32,
    /// The sinks that get anything.
    pub routes: Vec<PlannedSink>,
}

/// One sink.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedSink {
    /// What it is.
    pub sink: Sink,
    /// Whose lines it gets.
    pub services: Vec<Followed>,
}

/// A service whose lines a sink gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Followed {
    /// The service.
    pub name: ServiceName,
    /// The folder of its logs.
    pub dir: PathBuf,
    /// Of a stream that has no position yet: from then on, milliseconds since 1970.
    pub since_unix_ms: u64,
    /// What its lines look like in the file.
    #[serde(default, skip_serializing_if = "Dress::is_plain")]
    pub dress: Dress,
}

impl Plan {
    /// Reads the file's content; nothing, if it is damaged or a newer dogwatch's.
    pub fn decode(bytes: &[u8]) -> Plan {
        let plan: Plan = serde_json::from_slice(bytes).unwrap_or_default();
        if plan.v <= super::VERSION { plan } else { Plan::default() }
    }

    /// The file's content.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("it has only strings and numbers")
    }
}

/// What a sink has got of one stream, or of several together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// Lines that it has got.
    pub forwarded_lines: u64,
    /// Their bytes.
    pub forwarded_bytes: u64,
    /// Lines that were deleted before it had them.
    pub lost_lines: u64,
    /// Their bytes.
    pub lost_bytes: u64,
    /// It may be more that was lost.
    pub lost_at_least: bool,
    /// Lines that were longer than it takes, and were cut.
    pub cut_lines: u64,
}

impl Counts {
    /// Both together.
    #[must_use]
    pub fn with(self, other: Counts) -> Counts {
        Counts {
            forwarded_lines: self.forwarded_lines + other.forwarded_lines,
            forwarded_bytes: self.forwarded_bytes + other.forwarded_bytes,
            lost_lines: self.lost_lines + other.lost_lines,
            lost_bytes: self.lost_bytes + other.lost_bytes,
            lost_at_least: self.lost_at_least || other.lost_at_least,
            cut_lines: self.cut_lines + other.cut_lines,
        }
    }

    /// Whether anything was lost.
    pub fn has_lost(&self) -> bool {
        self.lost_lines > 0 || self.lost_bytes > 0 || self.lost_at_least
    }
}

/// How far a stream has come in a sink.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Position {
    /// [`super::VERSION`] of the writer.
    pub v: u32,
    /// Grows by one with every record: of the two slots, the higher one counts.
    pub seq: u64,
    /// Behind the last line that the sink has got, as whoever reads logs writes it.
    pub place: String,
    /// All in the life of this sink.
    #[serde(flatten)]
    pub counts: Counts,
}

impl Position {
    /// The content of a slot, of fixed size.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec(self).expect("it has only strings and numbers");
        bytes.resize(bytes.len().max(SLOT - 1), b' ');
        bytes.push(b'\n');
        bytes
    }

    /// The newer one of a file's two slots; none, if neither is whole.
    ///
    /// # Errors
    /// The version of a newer dogwatch, whose position must not be forgotten.
    pub fn decode(file: &[u8]) -> Result<Option<Position>, u32> {
        let slots = file.chunks(SLOT).filter_map(|slot| serde_json::from_slice::<Position>(slot).ok());
        match slots.max_by_key(|position| position.seq) {
            Some(position) if position.v > super::VERSION => Err(position.v),
            newest => Ok(newest),
        }
    }

    /// Where its slot begins in the file.
    pub fn at(&self) -> u64 {
        self.seq % 2 * SLOT as u64
    }
}

/// How a sink is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SinkState {
    /// [`super::VERSION`] of the writer.
    pub v: u32,
    /// Its name.
    pub name: String,
    /// The word for what it is.
    pub kind: String,
    /// It takes nothing at the moment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Waiting>,
    /// Its streams.
    pub streams: Vec<StreamState>,
}

/// Why a sink takes nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Waiting {
    /// In one sentence.
    pub why: String,
    /// Since when, milliseconds since 1970.
    pub since_unix_ms: u64,
}

/// One stream in a sink.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamState {
    /// Whose.
    pub service: ServiceName,
    /// Which.
    pub stream: StreamName,
    /// What was written and the sink has not got yet, bytes.
    pub behind_bytes: u64,
    /// Its log cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Waiting>,
    /// What it has got.
    #[serde(flatten)]
    pub counts: Counts,
}

impl StreamState {
    /// Both streams of a service of which nothing is known.
    pub fn nothing_of(followed: &Followed) -> [StreamState; 3] {
        [StreamName::Out, StreamName::Error, StreamName::Merged].map(|stream| StreamState {
            service: followed.name.clone(),
            stream,
            behind_bytes: 0,
            waiting: None,
            counts: Counts::default(),
        })
    }
}

impl SinkState {
    /// Reads the file's content; none if it is damaged or a newer dogwatch's.
    pub fn decode(bytes: &[u8]) -> Option<SinkState> {
        let state: SinkState = serde_json::from_slice(bytes).ok()?;
        (state.v <= super::VERSION).then_some(state)
    }

    /// The file's content.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("it has only strings and numbers")
    }

    /// What it means for one service; none, if the service's lines do not go there.
    pub fn of(&self, service: &ServiceName) -> Option<SinkStatus> {
        let own = self.streams.iter().filter(|stream| stream.service == *service);
        let unreadable = own.clone().find_map(|stream| stream.waiting.as_ref());
        let (behind_bytes, counts) = own
            .map(|stream| (stream.behind_bytes, stream.counts))
            .reduce(|a, b| (a.0 + b.0, a.1.with(b.1)))?;
        Some(SinkStatus {
            name: self.name.clone(),
            kind: self.kind.clone(),
            waiting: self.waiting.as_ref().or(unreadable).cloned(),
            behind_bytes,
            counts,
        })
    }
}

/// A sink of a service, as a part of the service's status: both streams together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinkStatus {
    /// Its name.
    pub name: String,
    /// `journald`, `syslog` or `stdout`.
    pub kind: String,
    /// It takes nothing at the moment, or a log of the service cannot be read; null: it is well.
    pub waiting: Option<Waiting>,
    /// What was written and it has not got yet, bytes.
    pub behind_bytes: u64,
    /// What it has got.
    #[serde(flatten)]
    pub counts: Counts,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::sink::Target;

    fn name(text: &str) -> ServiceName {
        ServiceName::new(text).unwrap()
    }

    fn position(seq: u64) -> Position {
        let counts = Counts { forwarded_lines: 7, lost_at_least: true, ..Counts::default() };
        Position { v: 1, seq, place: "1.2.3".to_owned(), counts }
    }

    #[test]
    fn the_newer_slot_counts_and_a_torn_one_does_not() {
        let mut file = position(4).encode();
        file.extend(position(5).encode());
        assert_eq!((file.len(), position(4).at(), position(5).at()), (2 * SLOT, 0, SLOT as u64));
        assert_eq!(Position::decode(&file), Ok(Some(position(5))));
        file[SLOT + 20] = 0;
        assert_eq!(Position::decode(&file), Ok(Some(position(4))));
        assert_eq!(Position::decode(b""), Ok(None));
        assert_eq!(Position::decode(&Position { v: 2, ..position(9) }.encode()), Err(2));
        let most = Counts {
            forwarded_lines: u64::MAX,
            forwarded_bytes: u64::MAX,
            lost_lines: u64::MAX,
            lost_bytes: u64::MAX,
            lost_at_least: true,
            cut_lines: u64::MAX,
        };
        let place = format!("{}.{}.{}", u64::MAX, u64::MAX, u64::MAX);
        assert_eq!(Position { v: 1, seq: u64::MAX, place, counts: most }.encode().len(), SLOT);
    }

    /// These samples must load for ever.
    #[test]
    fn reads_version_1() {
        let bytes = include_bytes!("../../tests/fixtures/sink-position-v1");
        assert_eq!(Position::decode(bytes), Ok(Some(position(5))));
        let followed = Followed {
            name: name("web"),
            dir: "/srv/logs".into(),
            since_unix_ms: 1_795_373_591_999,
            dress: Dress::Plain,
        };
        let plan = |kind: &str| PlannedSink {
            sink: Sink { name: kind.to_owned(), to: Target::of_kind(kind).unwrap() },
            services: vec![followed.clone()],
        };
        let expected = Plan { v: 1, routes: Target::KINDS.map(plan).to_vec() };
        let bytes = include_bytes!("../../tests/fixtures/forward-v1.json");
        assert_eq!(Plan::decode(bytes), expected);
        assert_eq!(Plan::decode(&expected.encode()), expected);
        assert_eq!(Plan::decode(br#"{"v":2,"routes":[]}"#), Plan::default());
    }

    #[test]
    fn what_a_sink_means_for_a_service() {
        let stream = |service, stream, behind_bytes| StreamState {
            service: name(service),
            stream,
            behind_bytes,
            waiting: None,
            counts: Counts { forwarded_lines: 1, ..Counts::default() },
        };
        let mut state = SinkState {
            v: 1,
            name: "far".to_owned(),
            kind: "syslog".to_owned(),
            waiting: None,
            streams: vec![
                stream("web", StreamName::Out, 5),
                stream("api", StreamName::Out, 7),
                stream("web", StreamName::Error, 6),
            ],
        };
        let web = SinkState::decode(&state.encode()).unwrap().of(&name("web")).unwrap();
        assert_eq!((web.behind_bytes, web.counts.forwarded_lines), (11, 2));
        assert_eq!(state.of(&name("db")), None);
        let waiting = |why: &str| Some(Waiting { why: why.to_owned(), since_unix_ms: 1 });
        state.streams[2].waiting = waiting("unreadable");
        let state = SinkState::decode(&state.encode()).unwrap();
        let waits = |state: &SinkState, service| state.of(&name(service)).unwrap().waiting;
        assert_eq!((waits(&state, "web"), waits(&state, "api")), (waiting("unreadable"), None));
        let gone = SinkState { waiting: waiting("gone"), ..state };
        assert_eq!((waits(&gone, "web"), waits(&gone, "api")), (waiting("gone"), waiting("gone")));
    }
}
