//! `pm2 …`: from the command line to what `dogwatch …` does, and back to pm2's looks.

use super::args::{self, Pm2Command};
use super::known::Known;
use super::voice::Voice;
use super::{act, jlist, later, logs, says, show, start, target};
use crate::cli::client::block_on;
use crate::cli::direct;
use crate::cli::engine;
use crate::cli::fail::{Failure, Outcome};
use crate::cli::here::Here;
use crate::cli::screen::{print, tell};
use crate::exit_code;
use crate::os::clock;
use crate::wire::api::Verb;

/// Carries out pm2's command line, given without the program's name. Returns the exit code: 0, or 1 as pm2 has
/// it for everything that did not work.
pub fn run(words: &[String]) -> u8 {
    let Err(failure) = dispatch(words) else { return exit_code::OK };
    let text = failure.to_string();
    if !text.is_empty() {
        tell(says::error(&text));
    }
    u8::from(failure.code != exit_code::OK)
}

fn dispatch(words: &[String]) -> Outcome {
    let command = args::parse(words).map_err(|text| Failure::new(exit_code::USAGE, text))?;
    let home = std::env::var_os("DOGWATCH_HOME").map(Into::into);
    let here = Here::new(home, None)?;
    if !matches!(command, Pm2Command::Help | Pm2Command::Version) {
        here.need_access()?;
    }
    let voice = Voice::new(&here, args::manner(words));
    match command {
        Pm2Command::Help => print(&later::help()),
        Pm2Command::Version => print(concat!("dogwatch ", env!("CARGO_PKG_VERSION"), "\n")),
        Pm2Command::Start(options) => start::run(&here, &voice, &options),
        Pm2Command::Stop(words) => act::stop(&here, &voice, &words),
        Pm2Command::Restart(options) => act::anew(&here, &voice, Verb::Restart, &options),
        Pm2Command::Reload(options) => act::anew(&here, &voice, Verb::Reload, &options),
        Pm2Command::Flush(words) => act::flush(&here, &voice, &words),
        Pm2Command::ReloadLogs => act::reload_logs(&here, &voice),
        Pm2Command::Logs(options) => logs::run(&here, &voice, &options),
        Pm2Command::List => voice.table(&Known::of_running(&here)?),
        Pm2Command::Show(word) => {
            let known = Known::of_running(&here)?;
            for id in known.resolve(&[word])? {
                print(&show::show(id, &known.services[id]))?;
            }
            Ok(())
        }
        Pm2Command::Jlist => {
            let services = Known::of_running(&here)?.services;
            print(&jlist::jlist(&services, clock::now().unix_ms, &voice.me))
        }
        Pm2Command::Pid(word) => {
            let known = Known::of_running(&here)?;
            let ids = known.resolve(&[word.unwrap_or_else(|| "all".to_owned())])?;
            print(&says::pids_of(ids.into_iter().map(|id| &known.services[id])))
        }
        Pm2Command::Id(word) => {
            let known = Known::of_running(&here)?;
            print(&format!("{}\n", says::ids_of(&target::meant(&word, &known.services))))
        }
        Pm2Command::Ping => match block_on(engine::health(&here))?? {
            Some(_) => print(&format!("{}\n", says::PONG)),
            None => {
                direct::anybody(&here.paths)?;
                Err(Failure::new(exit_code::NOT_RUNNING, "the control plane is not running")
                    .hint("the services are kept all the same: pm2 list"))
            }
        },
    }
}
