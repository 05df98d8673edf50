//! What the environment says about delivering content.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;
use std::time::Duration;

use service_common::{Env, Secret};

use crate::content::{self, Item};
use crate::delivery::{Plan, Policy};
use crate::graph::{Access, Address, bearer};
use crate::recipients::Recipients;

const PLATFORM: &str = "https://graph.facebook.com";
/// Longer than any library of texts; a wrong file is noticed before it fills the memory.
const MAX_FILE: u64 = 1 << 20;
const TEN_MINUTES: u64 = 600_000;

/// What the deliveries need.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) plan: Plan,
    pub(crate) access: Access,
}

impl Delivery {
    /// After a mistake, which `env` keeps, the value is not to be used.
    pub(super) fn read(env: &mut Env, phone_number_id: String) -> Self {
        let recipients = Recipients::parse(&env.list("WHATSAPP_RECIPIENTS", "")).unwrap_or_else(|mistakes| {
            for mistake in mistakes {
                env.mistake(format!("WHATSAPP_RECIPIENTS: {mistake}"));
            }
            Recipients::default()
        });
        let content = content(env, !recipients.is_empty());
        let attempts = env.number("DELIVERY_MAX_ATTEMPTS", 3, 1..=100);
        let mut duration =
            |name, default, least| Duration::from_millis(env.number(name, default, least..=TEN_MINUTES));
        let retry_pause = duration("DELIVERY_RETRY_DELAY_MS", 3000, 0);
        let item_pause = duration("DELIVERY_ITEM_DELAY_MS", 2000, 0);
        let timeout = duration("DELIVERY_TIMEOUT_MS", 15_000, 1);
        let policy = Policy { attempts: u32::try_from(attempts).unwrap_or(1), pause: retry_pause };
        let version = env.text("GRAPH_API_VERSION").unwrap_or_else(|| "v17.0".to_owned());
        Self {
            plan: Plan { recipients, content, policy, pause: item_pause },
            access: Access {
                address: address(env),
                version: part(env, "GRAPH_API_VERSION", version),
                phone_number_id: part(env, "WHATSAPP_PHONE_NUMBER_ID", phone_number_id),
                token: token(env),
                timeout,
            },
        }
    }
}

/// The items of the file. Without recipients it need not exist; what exists must be right.
fn content(env: &mut Env, is_needed: bool) -> Vec<Item> {
    let path = env.path("CONTENT_FILE", "content.json");
    let name = path.display();
    let bytes = match read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound && !is_needed => return Vec::new(),
        Err(error) => {
            let why =
                if is_needed { "; it is needed, because WHATSAPP_RECIPIENTS names someone" } else { "" };
            env.mistake(format!("CONTENT_FILE: cannot read {name}: {error}{why}"));
            return Vec::new();
        }
    };
    match content::parse(&bytes) {
        Ok(items) if items.is_empty() && is_needed => {
            env.mistake(format!("CONTENT_FILE: {name} holds no item, but WHATSAPP_RECIPIENTS names someone"));
            items
        }
        Ok(items) => items,
        Err(mistakes) => {
            for mistake in mistakes {
                env.mistake(format!("CONTENT_FILE: {name}: {mistake}"));
            }
            Vec::new()
        }
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(io::Error::other("it is longer than 1 MiB"));
    }
    Ok(bytes)
}

fn address(env: &mut Env) -> Address {
    let base = env.text("GRAPH_API_BASE").unwrap_or_else(|| PLATFORM.to_owned());
    Address::parse(&base).unwrap_or_else(|error| {
        env.mistake(format!("GRAPH_API_BASE {error}"));
        Address::parse(PLATFORM).expect("a constant, tested")
    })
}

/// A part of the path, which must stay one part.
fn part(env: &mut Env, name: &str, part: String) -> String {
    let is_fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if !part.chars().all(is_fine) || matches!(part.as_str(), "." | "..") {
        env.mistake(format!("{name} must consist of letters, digits, dots and dashes"));
    }
    part
}

fn token(env: &mut Env) -> Secret {
    let token = env.required_secret("WHATSAPP_ACCESS_TOKEN");
    if bearer(&token).is_err() {
        env.mistake("WHATSAPP_ACCESS_TOKEN holds a character that cannot stand in a request".to_owned());
    }
    token
}
