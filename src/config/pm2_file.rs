//! pm2's own ecosystem files: `*.config.js` through node, `*.json` directly.
//!
//! A JavaScript file is a program: it is run as the user who names it, on the command line only, never by the
//! control plane. What it prints goes nowhere; its answer comes back through a descriptor of its own, so that
//! a `console.log` in it does no harm.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::Surroundings;
use super::mistake::Kind;
use crate::model::date_format::USUAL;

/// What is of use in a pm2 ecosystem file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pm2File {
    /// The file, absolute.
    pub path: PathBuf,
    /// Its apps, in its order.
    pub apps: Vec<Pm2App>,
}

/// One app of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pm2App {
    /// Its name; the script's name without its ending, if the file gives none.
    pub name: String,
    /// What it runs, as written.
    pub script: Option<String>,
    /// Bytes.
    pub max_memory_restart: Option<u64>,
    /// Its variables.
    pub env: BTreeMap<String, String>,
    /// What its logs look like.
    pub log: Pm2Log,
    /// The other fields it has, in alphabetical order: nothing is made of them.
    pub unused: Vec<String>,
}

/// What an app says of its logs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pm2Log {
    /// `log_date_format`, or what `time` stands for.
    pub date_format: Option<String>,
    /// `log_type: "json"`.
    pub json: bool,
    /// `out_file` and `error_file` are the same.
    pub merge: bool,
}

impl Pm2Log {
    /// The same as a value of `log` in ecosystem.toml; none if it says nothing.
    pub fn entry(&self) -> Option<String> {
        // An object has its time already, as pm2's has.
        let date_format = self.date_format.as_deref().filter(|_| !self.json);
        let mut words = Vec::new();
        words.extend(date_format.map(|_| "timestamps = \"inline\"".to_owned()));
        words.extend(
            date_format.filter(|format| *format != USUAL).map(|format| format!("date_format = {format:?}")),
        );
        words.extend(self.json.then(|| "format = \"json\"".to_owned()));
        words.extend(self.merge.then(|| "merge = true".to_owned()));
        (!words.is_empty()).then(|| format!("{{ {} }}", words.join(", ")))
    }
}

/// Why a file could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Pm2FileError {
    /// There is none.
    #[error("cannot read {0}: there is no such file")]
    NoFile(String),
    /// It is there, but.
    #[error("cannot read {path}: {cause}")]
    Unreadable {
        /// The file.
        path: String,
        /// A lowercase fragment.
        cause: String,
    },
    /// YAML.
    #[error("cannot read {0}: dogwatch reads pm2's .config.js and .json files, not YAML")]
    Yaml(String),
    /// JavaScript needs node.
    #[error(
        "cannot read {0}: it is JavaScript, and there is no `node` in PATH\n  install node, or write the apps as JSON"
    )]
    NoNode(String),
    /// The file's program did not end.
    #[error(
        "cannot read {path}: it did not finish within {seconds} s\n  does it wait for something? run: node {path}"
    )]
    TooSlow {
        /// The file.
        path: String,
        /// The time it had.
        seconds: u64,
    },
    /// The file's program failed.
    #[error("cannot read {path}: {message}")]
    Failed {
        /// The file.
        path: String,
        /// What JavaScript says.
        message: String,
    },
    /// It could be read, but what it says is wrong.
    #[error("{path}: {what}")]
    Wrong {
        /// The file.
        path: String,
        /// Which part, and what is right.
        what: String,
    },
}

/// Longest answer taken from a file's program, bytes.
const LONGEST: u64 = 4 << 20;
/// How long it may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Says what the file exports as JSON, on descriptor 3: `{"value": …}`, or `{"error": "…"}`.
const SCRIPT: &str = r#"
const fs = require('fs'), path = require('path'), url = require('url');
const file = process.argv[1];
const say = (answer) => {
  let rest = Buffer.from(JSON.stringify(answer));
  while (rest.length > 0) rest = rest.subarray(fs.writeSync(3, rest));
  process.exit(0);
};
const take = (exported) => say({ value: exported && exported.__esModule ? exported.default : exported });
const fail = (error) => {
  const stack = error instanceof SyntaxError ? String(error.stack).split('\n')[0] + ': ' : '';
  say({ error: stack + (error && error.message ? error.message : String(error)).split('\n')[0] });
};
const load = () => import(url.pathToFileURL(file)).then((module) => take(module.default));
process.on('uncaughtException', fail);
(async () => {
  if (file.endsWith('.mjs')) return load();
  try {
    take(require(file));
  } catch (error) {
    if (error.code === 'ERR_REQUIRE_ESM' || error.code === 'ERR_REQUIRE_ASYNC_MODULE') return load();
    throw error;
  }
})().catch(fail);
"#;

/// Reads the pm2 ecosystem file at `path`. A JavaScript file runs with the environment of `around`, in which
/// `node` is looked for, too.
///
/// # Errors
/// A sentence about what is wrong, and with which app.
pub fn read(path: &Path, around: &Surroundings) -> Result<Pm2File, Pm2FileError> {
    read_within(path, around, PATIENCE)
}

fn read_within(path: &Path, around: &Surroundings, patience: Duration) -> Result<Pm2File, Pm2FileError> {
    let shown = path.display().to_string();
    let unreadable = |cause| Pm2FileError::Unreadable { path: shown.clone(), cause };
    let absolute = std::path::absolute(path).map_err(|error| unreadable(super::cause(&error)))?;
    let bytes = super::read_limited(&absolute).map_err(|kind| match kind {
        Kind::NoFile { .. } => Pm2FileError::NoFile(shown.clone()),
        Kind::Unreadable(cause) => unreadable(cause),
        other => unreadable(other.to_string()),
    })?;
    let ending = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    let value = match ending.as_str() {
        "yml" | "yaml" => return Err(Pm2FileError::Yaml(shown)),
        "json" => serde_json::from_slice(&bytes).map_err(|error| Pm2FileError::Failed {
            path: shown.clone(),
            message: format!("not JSON: {error}"),
        })?,
        _ => evaluate(&absolute, &shown, around, patience)?,
    };
    let apps = apps(&value).map_err(|what| Pm2FileError::Wrong { path: shown, what })?;
    Ok(Pm2File { path: absolute, apps })
}

/// What a JavaScript file exports.
fn evaluate(
    file: &Path,
    shown: &str,
    around: &Surroundings,
    patience: Duration,
) -> Result<Value, Pm2FileError> {
    let path = shown.to_owned();
    let failed = |message: String| Pm2FileError::Failed { path: path.clone(), message };
    let node = find_node(around).ok_or_else(|| Pm2FileError::NoNode(path.clone()))?;
    // The shell moves the pipe from descriptor 1, where a child of std has it, to 3.
    let mut child = Command::new("/bin/sh")
        .args(["-c", "exec \"$0\" -e \"$1\" \"$2\" 3>&1 >/dev/null"])
        .args([node.as_os_str(), SCRIPT.as_ref(), file.as_os_str()])
        .env_clear()
        .envs(&around.env)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| failed(format!("cannot run node: {}", super::cause(&error))))?;
    let answer = answer(&mut child, patience);
    // Whether it has ended or not: after its answer it has nothing left to do, and it must not stay a zombie.
    let _ = child.kill();
    let _ = child.wait();
    let Some(bytes) = answer else {
        let seconds = patience.as_secs();
        return Err(Pm2FileError::TooSlow { path, seconds });
    };
    let mut answer: Map<String, Value> = match serde_json::from_slice(&bytes) {
        Ok(answer) => answer,
        Err(_) if bytes.len() as u64 > LONGEST => {
            return Err(failed("it exports more than 4 MiB".to_owned()));
        }
        Err(_) => return Err(failed("node ended without an answer".to_owned())),
    };
    match answer.remove("error") {
        Some(error) => Err(failed(error.as_str().unwrap_or("node failed").to_owned())),
        None => Ok(answer.remove("value").unwrap_or(Value::Null)),
    }
}

/// All that `child` writes, or nothing if it takes too long.
fn answer(child: &mut Child, patience: Duration) -> Option<Vec<u8>> {
    let pipe = child.stdout.take()?;
    let (send, receive) = mpsc::channel();
    // Left behind if the child hangs; it ends with the pipe.
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let read = pipe.take(LONGEST + 1).read_to_end(&mut bytes);
        // Nobody listens any more if the child was too slow.
        let _ = send.send(read.map(|_| bytes).unwrap_or_default());
    });
    receive.recv_timeout(patience).ok()
}

fn find_node(around: &Surroundings) -> Option<PathBuf> {
    let path = around.env.get("PATH")?;
    std::env::split_paths(path)
        .flat_map(|folder| ["node", "nodejs"].map(|name| folder.join(name)))
        .find(|file| file.is_file())
}

/// `{ apps: [ … ] }`, `{ apps: { … } }`, the same under `pm2`, `[ … ]`, or a single app.
fn apps(value: &Value) -> Result<Vec<Pm2App>, String> {
    let list = match value {
        Value::Object(top) => top.get("apps").or_else(|| top.get("pm2")).unwrap_or(value),
        other => other,
    };
    let list: Vec<&Value> = match list {
        Value::Array(list) => list.iter().collect(),
        Value::Object(_) => vec![list],
        other => {
            return Err(format!("must export {{ apps: [ … ] }}, not {}", kind_of(other)));
        }
    };
    if list.is_empty() {
        return Err("names no apps".to_owned());
    }
    list.iter().enumerate().map(|(index, value)| app(index, value)).collect()
}

fn app(index: usize, value: &Value) -> Result<Pm2App, String> {
    let Value::Object(fields) = value else {
        return Err(format!("apps[{index}] must be an object, not {}", kind_of(value)));
    };
    let mut taken: Vec<&str> = Vec::new();
    let mut take = |names: &[&'static str]| -> Option<(&'static str, &Value)> {
        let name = names.iter().find(|name| fields.contains_key(**name))?;
        taken.push(name);
        fields.get(*name).map(|value| (*name, value))
    };
    let script = take(&["script", "exec", "cmd", "command"]);
    let name = take(&["name"]);
    let memory = take(&["max_memory_restart", "maxMemoryRestart"]);
    let env = take(&["env"]);
    let [date_format, time, log_type] = [&["log_date_format"][..], &["time"], &["log_type"]].map(&mut take);
    let (out, error) = (take(&["out_file", "output", "out"]), take(&["error_file", "error", "err_file"]));
    // With one process of each service there is nothing to merge.
    take(&["merge_logs", "combine_logs"]);

    let wrong = |field: &str, right: &str, value: &Value| {
        let value = match value {
            Value::String(text) => format!("{text:?}"),
            other => kind_of(other).to_owned(),
        };
        format!("apps[{index}].{field} must be {right}, not {value}")
    };
    let script = match script {
        None | Some((_, Value::Null)) => None,
        Some((_, Value::String(script))) => Some(script.clone()),
        Some((field, other)) => return Err(wrong(field, "a string", other)),
    };
    let name = match name {
        Some((_, Value::String(name))) if !name.is_empty() => name.clone(),
        Some((_, Value::Number(name))) => name.to_string(),
        None | Some((_, Value::Null)) => {
            let stem = script.as_deref().and_then(|script| Path::new(script).file_stem());
            let stem = stem.ok_or_else(|| format!("apps[{index}] has neither a name nor a script"))?;
            stem.to_string_lossy().into_owned()
        }
        Some((field, other)) => return Err(wrong(field, "a name", other)),
    };
    let max_memory_restart = match memory {
        None | Some((_, Value::Null)) => None,
        Some((field, value)) => {
            let size = match value {
                Value::Number(number) => number.as_u64(),
                Value::String(text) => parse_memory(text),
                _ => None,
            };
            Some(size.ok_or_else(|| wrong(field, "bytes, or digits with K, M or G", value))?)
        }
    };
    let env = match env {
        None | Some((_, Value::Null)) => BTreeMap::new(),
        Some((_, Value::Object(pairs))) => pairs.iter().filter_map(variable).collect(),
        Some((field, other)) => return Err(wrong(field, "an object", other)),
    };
    let text = |field: Option<(&'static str, &Value)>| {
        let text = field.and_then(|(_, value)| value.as_str());
        text.filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let wants_time = time.is_some_and(|(_, value)| !matches!(value, Value::Null | Value::Bool(false)));
    let log = Pm2Log {
        date_format: text(date_format).or_else(|| wants_time.then(|| USUAL.to_owned())),
        json: text(log_type).as_deref() == Some("json"),
        merge: text(out).is_some() && text(out) == text(error),
    };
    let mut unused: Vec<String> =
        fields.keys().filter(|key| !taken.contains(&key.as_str())).cloned().collect();
    unused.sort_unstable();
    // Where dogwatch puts the files is the affair of log_dir.
    if !log.merge {
        unused.extend([out, error].into_iter().flatten().map(|(field, _)| field.to_owned()));
        unused.sort_unstable();
    }
    Ok(Pm2App { name, script, max_memory_restart, env, log, unused })
}

/// A variable as pm2 gives it to the app; none for `null`.
fn variable((name, value): (&String, &Value)) -> Option<(String, String)> {
    let text = match value {
        Value::Null => return None,
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    Some((name.clone(), text))
}

/// pm2's sizes: digits, then nothing (bytes), K, M or G.
pub fn parse_memory(text: &str) -> Option<u64> {
    let (digits, power) = match text.as_bytes().last()? {
        b'K' => (&text[..text.len() - 1], 1),
        b'M' => (&text[..text.len() - 1], 2),
        b'G' => (&text[..text.len() - 1], 3),
        _ => (text, 0),
    };
    let good = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let number: u64 = good.then(|| digits.parse().ok())??;
    number.checked_mul(1024_u64.pow(power))
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
#[path = "tests/pm2_file.rs"]
mod tests;
