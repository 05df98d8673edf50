//! A dogwatch of the drill's own: a temporary folder with an ecosystem.toml, a critical web service that numbers its
//! log lines, and a bystander. Whoever asks it for anything asks the very program that runs the real services.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::guard::Guard;
use super::target::{HEALTH, Target};
use super::victim;
use super::watch::Watch;
use crate::cli::client::block_on;
use crate::cli::direct;
use crate::cli::fail::{Failure, Outcome};
use crate::cli::here::Here;
use crate::cli::up;
use crate::model::calendar::utc_stamps;
use crate::model::name::ServiceName;
use crate::os::launch::own_program;
use crate::os::{clock, own};
use crate::paths::Paths;
use crate::wire::api::{self, Verb};
use crate::wire::drill::Duty;

/// The service that is probed.
const WEB: &str = "web";
/// The service that is there to have another keeper.
const BYSTANDER: &str = "bystander";
/// How often signals are looked at while the services start.
const LOOK: Duration = Duration::from_millis(20);
/// The web service ends within this time.
const STOP: Duration = Duration::from_secs(15);

/// A folder for this drill alone, which the guard removes.
///
/// # Errors
/// It cannot be made.
pub fn folder(guard: &mut Guard) -> Outcome<PathBuf> {
    let (_, stamp) = utc_stamps(clock::now().unix_ms);
    let folder = std::env::temp_dir().join(format!("dogwatch-drill-{stamp}-{}", std::process::id()));
    let failed = |error: std::io::Error| {
        Failure::failed(format!("cannot make the folder {}: {error}", folder.display()))
            .hint("name another place for temporary files: TMPDIR=DIR dogwatch drill …")
    };
    if folder.exists() {
        return Err(failed(std::io::ErrorKind::AlreadyExists.into()));
    }
    guard.add(Duty::Remove { folder: folder.clone() })?;
    own::make_folder(&folder).map_err(failed)?;
    Ok(folder)
}

/// Where the scratch dogwatch is.
#[derive(Debug)]
pub struct Scratch {
    /// Its folders.
    pub paths: Paths,
    /// The web service.
    pub service: ServiceName,
    /// The bystander.
    pub other: ServiceName,
    /// What is asked of it.
    pub target: Target,
    /// Its log.
    pub log: PathBuf,
}

impl Scratch {
    /// Brings it up below `folder`.
    ///
    /// # Errors
    /// It does not come up; interrupted.
    pub fn up(folder: &Path, guard: &mut Guard, watch: &mut Watch) -> Outcome<Scratch> {
        let program =
            own_program().map_err(|error| Failure::failed(format!("cannot tell who I am: {error}")))?;
        let address = free_address()?;
        let file = folder.join("ecosystem.toml");
        std::fs::write(&file, ecosystem(&program, address)).map_err(|error| {
            Failure::failed(format!("cannot write {}: {error}", file.display()))
                .hint("name another place for temporary files: TMPDIR=DIR dogwatch drill …")
        })?;
        let home = folder.join("home");
        let here = Here::exactly(Some(home.clone()), Some(file.clone()))?;
        guard.add(Duty::TakeDown { home })?;
        let answers = block_on(async {
            tokio::select! {
                answers = up::bring_up(&here, &file, Vec::new()) => answers,
                failure = interrupted(watch) => Err(failure),
            }
        })??;
        for answer in &answers.answers {
            if answer.outcome != api::Outcome::Up {
                let why = answer.service.reason.clone().unwrap_or_else(|| "no reason given".to_owned());
                let name = &answer.service.name;
                return Err(Failure::failed(format!("{name} of the scratch copy did not come up: {why}")));
            }
        }
        Ok(Scratch {
            paths: here.paths,
            service: ServiceName::new(WEB).expect("letters make a name"),
            other: ServiceName::new(BYSTANDER).expect("letters make a name"),
            target: Target { address, path: HEALTH.to_owned() },
            log: folder.join("logs").join(format!("{WEB}-out.log")),
        })
    }

    /// Stops the web service, so that all it has written is in its log.
    ///
    /// # Errors
    /// It does not stop.
    pub fn stop(&self) -> Outcome {
        direct::order(&self.paths, &self.service, Verb::Stop, STOP).map(|_| ())
    }
}

async fn interrupted(watch: &mut Watch) -> Failure {
    loop {
        if let Err(failure) = watch.check() {
            return failure;
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn ecosystem(program: &Path, address: SocketAddr) -> String {
    // A JSON string is a TOML string too.
    let program = serde_json::Value::from(program.to_string_lossy());
    let victim = victim::COMMAND;
    format!(
        r#"# Made by `dogwatch drill --scratch`, and removed by it.
[dogwatch]
log_dir = "logs"

[compartments.production]
critical = true

[services.{WEB}]
compartment = "production"
command = [{program}, "{victim}", "serve"]
listen = ["{address}"]
ready = "notify"
log = {{ rotate_size = "16KiB", keep = 100000, compress = false, budget = "1TiB" }}

[services.{BYSTANDER}]
command = [{program}, "{victim}", "hold"]
ready = {{ alive = "100ms" }}
"#
    )
}

/// An address of this machine that nobody else thinks of: 127.0.0.0/8 is all its own, and the process number is
/// nobody else's.
fn free_address() -> Outcome<SocketAddr> {
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    let ip = Ipv4Addr::new(127, 64 | high, middle, low);
    let port = TcpListener::bind((ip, 0)).and_then(|listener| Ok(listener.local_addr()?.port()));
    let port = port.map_err(|error| Failure::failed(format!("no free address on {ip}: {error}")))?;
    Ok(SocketAddr::from((ip, port)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Surroundings};

    #[test]
    fn its_ecosystem_has_no_mistake() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("a \"quoted\" program");
        std::fs::write(&program, "").unwrap();
        let file = dir.path().join("ecosystem.toml");
        std::fs::write(&file, ecosystem(&program, free_address().unwrap())).unwrap();
        let ecosystem = config::load(&file, &Surroundings::of_this_process()).unwrap();
        assert!(ecosystem.services[0].critical);
        assert_eq!(ecosystem.services[0].command[0], program.to_string_lossy());
    }
}
