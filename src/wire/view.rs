//! What a service with `dogwatch_access = "view"` asks on the socket that it inherits, and what it is answered.
//!
//! One JSON object per packet on a connected SOCK_SEQPACKET socket. A question is answered by as many packets as all
//! services need, each with the question's id; one that cannot be answered, by one packet that says why. There are no
//! other questions than that for the services, and no orders at all. docs/api.md tells it to authors of services.

use serde::{Deserialize, Serialize};

use super::VERSION;
use super::status::ServiceStatus;
use crate::model::name::ServiceName;

/// Longest question, bytes.
pub const LONGEST_QUESTION: usize = 1024;
/// Longest packet of an answer, bytes: several fit into the buffer that a socket has unless told otherwise.
pub const LONGEST_ANSWER: usize = 32 * 1024;
/// What of it is left for the services, when what stands around them is there.
const ROOM: usize = LONGEST_ANSWER - 2048;
/// A reason is cut after this many characters, so that a packet always has room for one service.
const LONGEST_REASON: usize = 500;
/// The one thing to get.
const GET_SERVICES: &str = "services";

/// A question.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Question {
    /// [`VERSION`] of the asker.
    pub v: u32,
    /// Chosen by the asker; comes back with every packet of the answer.
    pub id: u64,
    /// What is asked for.
    get: String,
}

impl Question {
    /// Reads a packet.
    ///
    /// # Errors
    /// The answer to something that is no question.
    pub fn decode(packet: &[u8]) -> Result<Question, Refusal> {
        let question: Question = serde_json::from_slice(packet)
            .map_err(|error| Refusal::new(None, format!("not a question: {error}")))?;
        let refuse = |why: String| Err(Refusal::new(Some(question.id), why));
        if question.v > VERSION {
            return refuse(format!("this dogwatch speaks version {VERSION}, not {}", question.v));
        }
        if question.get != GET_SERVICES {
            return refuse(format!(
                "the one thing to get is {GET_SERVICES:?}: there is nothing else to see here"
            ));
        }
        Ok(question)
    }
}

/// The answer to what cannot be answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// [`VERSION`] of the answer.
    pub v: u32,
    /// The question's; absent if it could not be read.
    pub id: Option<u64>,
    /// A sentence.
    pub error: String,
}

impl Refusal {
    /// A refusal of the question with this id.
    pub fn new(id: Option<u64>, error: impl Into<String>) -> Refusal {
        Refusal { v: VERSION, id, error: error.into() }
    }
}

/// One packet of an answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Page<'a> {
    /// [`VERSION`] of the answer.
    pub v: u32,
    /// The question's.
    pub id: u64,
    /// Which packet of the answer, from 1.
    pub page: usize,
    /// How many there are; the one with this number is the last.
    pub pages: usize,
    /// Some of the services; on all pages together all of them, in the order of `dogwatch status`.
    pub services: &'a [Seen],
    /// The machine; on the first page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system: Option<&'a System>,
}

/// A service, as others may see it. What is not known is absent, never 0.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Seen {
    /// Its name.
    pub name: ServiceName,
    /// Its compartment.
    pub compartment: String,
    /// The word for its state.
    pub status: &'static str,
    /// How its latest finished run ended, or why it has not started, in one sentence.
    pub reason: Option<String>,
    /// Main process, while there is one.
    pub pid: Option<i32>,
    /// Since the main process was started, milliseconds.
    pub uptime_ms: Option<u64>,
    /// Starts that nobody asked for, since the last start on request.
    pub restarts: u64,
    /// CPU of the whole tree since the last look, percent of one core.
    pub cpu_percent: Option<f64>,
    /// Resident memory of the whole tree, bytes.
    pub memory_bytes: Option<u64>,
    /// The limit in force, bytes.
    pub memory_limit_bytes: Option<u64>,
    /// What its health check says; always absent, for there are no health checks yet.
    pub health: Option<String>,
    /// The first port that dogwatch listens on for it.
    pub port: Option<u16>,
    /// Size of its two current log files together, bytes.
    pub log_bytes: Option<u64>,
}

impl Seen {
    /// What others may see of a service.
    pub fn of(status: &ServiceStatus, log_bytes: Option<u64>) -> Seen {
        Seen {
            name: status.name.clone(),
            compartment: status.compartment.clone(),
            status: status.state.word(),
            reason: status.reason.as_ref().map(|reason| reason.chars().take(LONGEST_REASON).collect()),
            pid: status.pid,
            uptime_ms: status.uptime_ms,
            restarts: status.restarts,
            cpu_percent: status.cpu_percent,
            memory_bytes: status.memory_bytes,
            memory_limit_bytes: status.memory_limit_bytes,
            health: None,
            port: status.listen.first().map(std::net::SocketAddr::port),
            log_bytes,
        }
    }
}

/// The machine. What is not known is absent, never 0.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct System {
    /// Load averages over 1, 5 and 15 minutes.
    pub load: Option<[f64; 3]>,
    /// Its memory.
    pub memory: Option<Memory>,
    /// The file system of the logs.
    pub disk: Option<Disk>,
}

/// Memory, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// All.
    pub total: u64,
    /// What programs can still get.
    pub available: u64,
}

/// A file system, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Disk {
    /// All.
    pub total: u64,
    /// What services can still write.
    pub free: u64,
    /// How full it is, as df(1) counts.
    pub percent: f64,
}

/// All that a viewer sees, cut into what packets can carry.
#[derive(Debug)]
pub struct Sight {
    pages: Vec<Vec<Seen>>,
    system: System,
}

impl Sight {
    /// Cuts it.
    pub fn new(services: Vec<Seen>, system: System) -> Sight {
        let mut pages = vec![Vec::new()];
        let mut left = ROOM;
        for service in services {
            let length = encode(&service).len() + 1;
            if length > left {
                pages.push(Vec::new());
                left = ROOM;
            }
            left = left.saturating_sub(length);
            if let Some(page) = pages.last_mut() {
                page.push(service);
            }
        }
        Sight { pages, system }
    }

    /// The packets of the answer to the question with this id, each made when it is asked for.
    pub fn packets(&self, id: u64) -> impl Iterator<Item = Vec<u8>> {
        let pages = self.pages.len();
        self.pages.iter().enumerate().map(move |(index, services)| {
            let system = (index == 0).then_some(&self.system);
            encode(&Page { v: VERSION, id, page: index + 1, pages, services, system })
        })
    }
}

/// Anything of these as a packet.
pub fn encode(what: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(what).expect("all of a view has string keys, and infinite numbers become null")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::model::phase::State;
    use crate::wire::status::tests::status;

    fn seen(number: usize, reason: &str) -> Seen {
        let name = ServiceName::new(&format!("service-{number}")).unwrap();
        let reason = Some(reason.to_owned());
        Seen::of(&ServiceStatus { name, reason, ..status(State::Online, 1, None) }, Some(7))
    }

    fn pages(services: usize, reason: &str) -> Vec<Value> {
        let services = (0..services).map(|number| seen(number, reason)).collect();
        let packets: Vec<Vec<u8>> = Sight::new(services, System::default()).packets(u64::MAX).collect();
        assert!(packets.iter().all(|packet| packet.len() <= LONGEST_ANSWER));
        packets.iter().map(|packet| serde_json::from_slice(packet).unwrap()).collect()
    }

    #[test]
    fn a_thousand_services_come_in_order_on_few_pages() {
        for (count, reason, most) in [
            (0, "", 1),
            (1, "", 1),
            (300, "killed by SIGKILL", 4),
            (1000, "killed by SIGKILL", 12),
            (1000, "\u{1}", 12),
        ] {
            let long = reason.repeat(if reason.len() == 1 { 10_000 } else { 1 });
            let pages = pages(count, &long);
            assert!(pages.len() <= most || long.len() > 500, "{count}: {} pages", pages.len());
            let mut names = Vec::new();
            for (index, page) in pages.iter().enumerate() {
                assert_eq!((&page["v"], &page["id"]), (&json!(1), &json!(u64::MAX)));
                assert_eq!((&page["page"], &page["pages"]), (&json!(index + 1), &json!(pages.len())));
                assert_eq!(page.get("system").is_some(), index == 0);
                names.extend(page["services"].as_array().unwrap().iter().map(|seen| seen["name"].clone()));
            }
            let expected: Vec<Value> = (0..count).map(|number| json!(format!("service-{number}"))).collect();
            assert_eq!(names, expected);
        }
    }

    #[test]
    fn nothing_but_what_status_shows() {
        let mut secret = status(State::BackingOff, 1, Some(1));
        secret.command = vec!["app".to_owned(), "--token=secret".to_owned()];
        secret.cwd = "/secret".into();
        secret.log_out = "/secret".into();
        secret.user = Some("secret".to_owned());
        secret.hint = Some("secret".to_owned());
        secret.listen = vec!["127.0.0.1:3000".parse().unwrap(), "[::1]:3001".parse().unwrap()];
        let shown = serde_json::to_value(Seen::of(&secret, None)).unwrap();
        let expected = json!({
            "name": "web", "compartment": "default", "status": "backing-off", "reason": null, "pid": null,
            "uptime_ms": null, "restarts": 0, "cpu_percent": null, "memory_bytes": null, "memory_limit_bytes": null,
            "health": null, "port": 3000, "log_bytes": null,
        });
        assert_eq!(shown, expected);
    }

    #[test]
    fn what_is_no_question_is_refused_in_words() {
        let id = |packet: &str| Question::decode(packet.as_bytes()).map(|question| question.id);
        assert_eq!(id(r#"{"v":1,"id":7,"get":"services","more":true}"#), Ok(7));
        let refused = |packet: &str| {
            let refusal = id(packet).unwrap_err();
            (refusal.id, refusal.error)
        };
        for (packet, number, words) in [
            (r#"{"v":2,"id":7,"get":"services"}"#, Some(7), "version 1, not 2"),
            (r#"{"v":1,"id":7,"get":"env"}"#, Some(7), "nothing else to see"),
            (r#"{"v":1,"op":"stop"}"#, None, "not a question"),
            (r#"{"v":1,"id":-1,"get":"services"}"#, None, "not a question"),
            ("\"retire\"", None, "not a question"),
            ("", None, "not a question"),
        ] {
            let (id, error) = refused(packet);
            assert!(id == number && error.contains(words), "{packet}: {id:?} {error}");
        }
    }
}
