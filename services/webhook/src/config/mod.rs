//! What the environment says.

mod delivery;

use std::net::SocketAddr;
use std::path::PathBuf;

use events::StoreText;
use service_common::{About, ConfigError, Env, Secret};

use delivery::Delivery;

/// The flag for development: requests need no signature.
const ALLOW_UNSIGNED: &str = "--allow-unsigned";

/// What the command line tells about this service.
pub const ABOUT: About = About {
    name: "webhook-button-handler",
    version: env!("CARGO_PKG_VERSION"),
    help: "webhook: takes WhatsApp webhooks, answers at once, writes what happened to the events database, and
delivers content to those who ask for it and may

usage: webhook [--allow-unsigned]

  --allow-unsigned  accept requests without signature when there is no app secret; on loopback only
  -h, --help        this text
  -V, --version     name and version

environment:
  WEBHOOK_BIND, WEBHOOK_PORT  address to listen on (127.0.0.1, 3000), unless the socket is inherited
  WHATSAPP_VERIFY_TOKEN       what the platform must know to register this address (required)
  WHATSAPP_APP_SECRET         the key of the signatures (required without --allow-unsigned)
  WHATSAPP_ACCESS_TOKEN       what the platform wants to see before it takes a message (required)
  WHATSAPP_PHONE_NUMBER_ID    the number that messages are sent from (required); /health shows its end
  WHATSAPP_RECIPIENTS         comma list of the numbers that get content when they ask (nobody)
  CONTENT_FILE                the content, a JSON array (content.json); needed when there are recipients
  CONTENT_KEYWORDS            comma list: a text that holds one of them asks, in any letter case
                              (content,retrieve,unlock)
  GRAPH_API_BASE              the platform (https://graph.facebook.com); http:// for loopback only
  GRAPH_API_VERSION           its version (v17.0)
  DELIVERY_MAX_ATTEMPTS       how often an item is tried in all (3)
  DELIVERY_RETRY_DELAY_MS     between two attempts (3000)
  DELIVERY_ITEM_DELAY_MS      between two items (2000)
  DELIVERY_TIMEOUT_MS         for one attempt (15000)
  EVENTS_DB                   the events database (data/webhook_events.db)
  EVENTS_SPOOL                where events wait while the database is away (data/events.spool)
  EVENTS_STORE_TEXT           full, or none to keep only the length of texts (full)
Secrets (…_TOKEN, …_SECRET) can also be given as NAME_FILE, the path of a file whose first line is the secret.",
    flags: &[ALLOW_UNSIGNED],
};

/// A configuration that was found good: what the requests need.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) listen: SocketAddr,
    pub(crate) verify_token: Secret,
    /// None: requests need no signature.
    pub(crate) app_secret: Option<Secret>,
    pub(crate) phone_number_id: String,
    /// In lower case.
    pub(crate) keywords: Vec<String>,
    pub(crate) database: PathBuf,
    pub(crate) spool: PathBuf,
    pub(crate) store_text: StoreText,
}

impl Config {
    /// Reads everything, also what only the deliveries need.
    pub(crate) fn read(mut env: Env, flags: &[&str]) -> Result<(Self, Delivery), ConfigError> {
        let unsigned_allowed = flags.contains(&ALLOW_UNSIGNED);
        let phone_number_id = env.required_text("WHATSAPP_PHONE_NUMBER_ID");
        let config = Self {
            listen: env.listen_address("WEBHOOK_BIND", "WEBHOOK_PORT", 3000),
            verify_token: env.required_secret("WHATSAPP_VERIFY_TOKEN"),
            app_secret: if unsigned_allowed {
                env.secret("WHATSAPP_APP_SECRET")
            } else {
                Some(env.required_secret("WHATSAPP_APP_SECRET"))
            },
            phone_number_id: phone_number_id.clone(),
            keywords: keywords(&mut env),
            database: env.path("EVENTS_DB", "data/webhook_events.db"),
            spool: env.path("EVENTS_SPOOL", "data/events.spool"),
            store_text: match env.text("EVENTS_STORE_TEXT").as_deref() {
                None | Some("full") => StoreText::Full,
                Some("none") => StoreText::None,
                Some(_) => {
                    env.mistake("EVENTS_STORE_TEXT must be full or none".to_owned());
                    StoreText::None
                }
            },
        };
        let delivery = Delivery::read(&mut env, phone_number_id);
        env.finish()?;
        Ok((config, delivery))
    }
}

fn keywords(env: &mut Env) -> Vec<String> {
    let words = env.list("CONTENT_KEYWORDS", "content,retrieve,unlock");
    if words.is_empty() {
        env.mistake("CONTENT_KEYWORDS holds no word".to_owned());
    }
    words.iter().map(|word| word.to_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::{ALLOW_UNSIGNED, Config, Delivery, Env};

    const NEEDED: [(&str, &str); 4] = [
        ("WHATSAPP_VERIFY_TOKEN", "example"),
        ("WHATSAPP_APP_SECRET", "example"),
        ("WHATSAPP_ACCESS_TOKEN", "example-access-token"),
        ("WHATSAPP_PHONE_NUMBER_ID", "100000000001234"),
    ];

    fn read(pairs: &[(&str, &str)], flags: &[&str]) -> Result<(Config, Delivery), String> {
        let env =
            Env::from_pairs(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        Config::read(env, flags).map_err(|error| error.to_string())
    }

    fn told(more: &[(&str, &str)]) -> String {
        read(&[&NEEDED[..], more].concat(), &[]).expect_err("a mistake")
    }

    #[test]
    fn a_secret_is_needed_unless_it_is_waived() {
        let without = [NEEDED[0], NEEDED[2], NEEDED[3]];
        let told = read(&without, &[]).expect_err("no secret");
        assert!(told.contains("WHATSAPP_APP_SECRET is not set"), "{told}");
        let (config, _) = read(&without, &[ALLOW_UNSIGNED]).expect("allowed");
        assert!(config.app_secret.is_none());
        assert!(read(&NEEDED, &[ALLOW_UNSIGNED]).expect("allowed").0.app_secret.is_some());
    }

    #[test]
    fn all_that_is_missing_is_named() {
        let told = read(&[], &[]).expect_err("nothing is set");
        for (name, _) in NEEDED {
            assert!(told.contains(&format!("{name} is not set")), "{told}");
        }
    }

    #[test]
    fn the_defaults_are_those_of_the_original() {
        let (config, delivery) = read(&NEEDED, &[]).expect("enough");
        let (plan, access) = (&delivery.plan, &delivery.access);
        assert_eq!(config.keywords, ["content", "retrieve", "unlock"]);
        assert!(plan.recipients.is_empty() && plan.content.is_empty());
        assert_eq!(
            (plan.policy.attempts, plan.policy.pause.as_millis(), plan.pause.as_millis()),
            (3, 3000, 2000)
        );
        assert_eq!(
            (access.address.authority.as_str(), access.version.as_str()),
            ("graph.facebook.com", "v17.0")
        );
        assert_eq!((access.address.is_secure, access.timeout.as_millis()), (true, 15_000));
    }

    #[test]
    fn a_mistake_names_its_variable_and_no_secret() {
        for (name, value, expected) in [
            ("WHATSAPP_RECIPIENTS", "15550100001,n/a", "WHATSAPP_RECIPIENTS: number 2"),
            ("WHATSAPP_RECIPIENTS", "15550100001", "CONTENT_FILE: cannot read content.json"),
            ("CONTENT_FILE", "/dev/null", "CONTENT_FILE: /dev/null: not JSON"),
            ("CONTENT_KEYWORDS", " , ", "CONTENT_KEYWORDS holds no word"),
            ("GRAPH_API_BASE", "http://graph.example.invalid", "GRAPH_API_BASE must begin with https://"),
            ("GRAPH_API_VERSION", "../v17.0", "GRAPH_API_VERSION must"),
            ("WHATSAPP_PHONE_NUMBER_ID", "1/2", "WHATSAPP_PHONE_NUMBER_ID must"),
            ("WHATSAPP_ACCESS_TOKEN", "hush-\u{7}", "WHATSAPP_ACCESS_TOKEN holds a character"),
            ("DELIVERY_MAX_ATTEMPTS", "0", "DELIVERY_MAX_ATTEMPTS must be a whole number from 1"),
            ("DELIVERY_TIMEOUT_MS", "x", "DELIVERY_TIMEOUT_MS must be a whole number from 1"),
        ] {
            let told = told(&[(name, value)]);
            assert!(told.contains(expected) && !told.contains("hush"), "{told}");
        }
    }
}
