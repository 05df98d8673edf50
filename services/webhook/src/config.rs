//! What the environment says.

use std::net::SocketAddr;
use std::path::PathBuf;

use events::StoreText;
use service_common::{About, ConfigError, Env, Secret};

/// The flag for development: requests need no signature.
const ALLOW_UNSIGNED: &str = "--allow-unsigned";

/// What the command line tells about this service.
pub const ABOUT: About = About {
    name: "webhook-button-handler",
    version: env!("CARGO_PKG_VERSION"),
    help: "webhook: takes WhatsApp webhooks, answers at once, and writes what happened to the events database

usage: webhook [--allow-unsigned]

  --allow-unsigned  accept requests without signature when there is no app secret; on loopback only
  -h, --help        this text
  -V, --version     name and version

environment:
  WEBHOOK_BIND, WEBHOOK_PORT  address to listen on (127.0.0.1, 3000), unless the socket is inherited
  WHATSAPP_VERIFY_TOKEN       what the platform must know to register this address (required)
  WHATSAPP_APP_SECRET         the key of the signatures (required without --allow-unsigned)
  WHATSAPP_PHONE_NUMBER_ID    shown by /health, last 4 characters only
  EVENTS_DB                   the events database (data/webhook_events.db)
  EVENTS_SPOOL                where events wait while the database is away (data/events.spool)
  EVENTS_STORE_TEXT           full, or none to keep only the length of texts (full)
Secrets can also be given as NAME_FILE, the path of a file whose first line is the secret.",
    flags: &[ALLOW_UNSIGNED],
};

/// A configuration that was found good.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) listen: SocketAddr,
    pub(crate) verify_token: Secret,
    /// None: requests need no signature.
    pub(crate) app_secret: Option<Secret>,
    pub(crate) phone_number_id: Option<String>,
    pub(crate) database: PathBuf,
    pub(crate) spool: PathBuf,
    pub(crate) store_text: StoreText,
}

impl Config {
    pub(crate) fn read(mut env: Env, flags: &[&str]) -> Result<Self, ConfigError> {
        let unsigned_allowed = flags.contains(&ALLOW_UNSIGNED);
        let config = Self {
            listen: env.listen_address("WEBHOOK_BIND", "WEBHOOK_PORT", 3000),
            verify_token: env.required_secret("WHATSAPP_VERIFY_TOKEN"),
            app_secret: if unsigned_allowed {
                env.secret("WHATSAPP_APP_SECRET")
            } else {
                Some(env.required_secret("WHATSAPP_APP_SECRET"))
            },
            phone_number_id: env.text("WHATSAPP_PHONE_NUMBER_ID"),
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
        env.finish()?;
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::{ALLOW_UNSIGNED, Config, Env};

    fn read(pairs: &[(&str, &str)], flags: &[&str]) -> Result<Config, String> {
        let env =
            Env::from_pairs(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        Config::read(env, flags).map_err(|error| error.to_string())
    }

    #[test]
    fn a_secret_is_needed_unless_it_is_waived() {
        let told = read(&[("WHATSAPP_VERIFY_TOKEN", "example")], &[]).expect_err("no secret");
        assert!(told.contains("WHATSAPP_APP_SECRET is not set"), "{told}");
        let config = read(&[("WHATSAPP_VERIFY_TOKEN", "example")], &[ALLOW_UNSIGNED]).expect("allowed");
        assert!(config.app_secret.is_none());
        let both = [("WHATSAPP_VERIFY_TOKEN", "example"), ("WHATSAPP_APP_SECRET", "example")];
        assert!(read(&both, &[ALLOW_UNSIGNED]).expect("allowed").app_secret.is_some());
    }
}
