use std::fs::{Permissions, set_permissions, write};
use std::os::unix::fs::PermissionsExt;

use super::*;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new(text: &str) -> Folder {
        let folder = Folder(tempfile::tempdir().unwrap());
        folder.write("ecosystem.toml", text, 0o644);
        folder
    }

    fn write(&self, name: &str, text: &str, mode: u32) {
        let path = self.0.path().join(name);
        write(&path, text).unwrap();
        set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    }

    /// stdout, stderr and code, with the folder's name replaced.
    fn check(&self, json: bool) -> (String, String, u8) {
        let folder = self.0.path().display().to_string();
        let (out, err, code) = check(&self.0.path().join("ecosystem.toml"), &around(), json);
        (out.replace(&folder, "/srv"), err.replace(&folder, "/srv"), code)
    }
}

fn around() -> Surroundings {
    Surroundings { env: [("PATH".to_owned(), "/usr/bin:/bin".to_owned())].into() }
}

#[test]
fn a_good_file() {
    let folder = Folder::new(
        r#"
        [compartments.production]
        critical = true
        [services.api]
        command = ["sh"]
        after = ["webhook"]
        memory = "1GiB"
        [services.webhook]
        compartment = "production"
        command = ["./webhook"]
        listen = ["127.0.0.1:3000", "[::1]:3000"]
        "#,
    );
    folder.write("webhook", "#!/bin/sh\n", 0o755);
    let (out, err, code) = folder.check(false);
    let expected = "/srv/ecosystem.toml: 2 services, no mistakes
  webhook  production, critical; on 127.0.0.1:3000, [::1]:3000
  api      default; memory 1 GiB; after webhook
";
    assert_eq!((out.as_str(), err.as_str(), code), (expected, "", exit_code::OK));
    let (out, err, code) = folder.check(true);
    let expected = r#"{"v":1,"path":"/srv/ecosystem.toml","ok":true,"services":[{"name":"webhook","compartment":"production","critical":true,"listen":["127.0.0.1:3000","[::1]:3000"],"after":[],"memory_limit_bytes":null},{"name":"api","compartment":"default","critical":false,"listen":[],"after":["webhook"],"memory_limit_bytes":1073741824}],"mistakes":[],"warnings":[]}
"#;
    assert_eq!((out.as_str(), err.as_str(), code), (expected, "", exit_code::OK));
}

#[test]
fn mistakes() {
    let folder = Folder::new("[services.web]\ncomand = [\"./app\"]\nuser = 7\n");
    let (out, err, code) = folder.check(false);
    let expected = "/srv/ecosystem.toml:2:1: unknown key `comand` in [services.web]
    2 | comand = [\"./app\"]
      | ^^^^^^ did you mean `command`?
/srv/ecosystem.toml:3:8: `user` in [services.web] must be a string, not a bare number
    3 | user = 7
      |        ^ write \"7\"
/srv/ecosystem.toml: 2 mistakes
";
    assert_eq!((out.as_str(), err.as_str(), code), ("", expected, exit_code::CONFIG));
    let (out, err, code) = folder.check(true);
    let expected = r#"{"v":1,"path":"/srv/ecosystem.toml","ok":false,"services":[],"mistakes":[{"line":2,"column":1,"message":"unknown key `comand` in [services.web]","help":"did you mean `command`?"},{"line":3,"column":8,"message":"`user` in [services.web] must be a string, not a bare number","help":"write \"7\""}],"warnings":[]}
"#;
    assert_eq!((out.as_str(), err.as_str(), code), (expected, "", exit_code::CONFIG));
}

#[test]
fn what_is_likely_to_go_wrong() {
    let folder = Folder::new(
        &r#"
        [services.gone]
        command = ["./gone"]
        cwd = "nowhere"
        [services.plain]
        command = ["./plain"]
        env_file = "open.env"
        user = "nobody-of-that-name"
        [services.folder]
        command = ["./"]
        cwd = "plain"
        [services.bare]
        command = ["no-such-program-anywhere"]
        [services.open]
        command = ["./open"]
        [services.bounds]
        command = ["sh"]
        user = "OWN"
        group = "no-such-group"
        cpus = "0,1000"
        writable = [".", "no-such-folder"]
        "#
        .replace("OWN", &crate::os::own::effective_uid().to_string()),
    );
    folder.write(
        "ecosystem.toml",
        &std::fs::read_to_string(folder.0.path().join("ecosystem.toml")).unwrap(),
        0o646,
    );
    folder.write("plain", "", 0o644);
    folder.write("open", "", 0o757);
    folder.write("open.env", "SECRET=hunter2\n", 0o644);
    let (out, err, code) = folder.check(false);
    assert!(out.starts_with("/srv/ecosystem.toml: 6 services, no mistakes, 13 warnings\n"), "{out}");
    let expected = "warning: /srv/ecosystem.toml can be changed by every user
  run: chmod o-w /srv/ecosystem.toml
warning: /srv/open.env can be read by every user
  run: chmod 600 /srv/open.env
warning: gone: /srv/gone does not exist
  check `command`, or build it first
warning: gone: the folder /srv/nowhere does not exist
  run: mkdir -p /srv/nowhere
warning: plain: /srv/plain is not executable
  run: chmod +x /srv/plain
warning: plain: there is no user nobody-of-that-name on this machine
  see: /etc/passwd
warning: folder: /srv is not a file
  check `command`, or build it first
warning: folder: /srv/plain is not a folder
  check `cwd`
warning: bare: no-such-program-anywhere is in no folder of its PATH
  write its path in `command`, or set PATH in `env`
warning: open: /srv/open can be changed by every user
  run: chmod o-w /srv/open
warning: bounds: there is no group no-such-group on this machine
  see: /etc/group
warning: bounds: not all of its `cpus` are there: 1000 missing
  this machine has ONLINE
warning: bounds: /srv/no-such-folder, which is to be writable, does not exist
  run: mkdir -p /srv/no-such-folder
";
    let online = std::fs::read_to_string("/sys/devices/system/cpu/online").unwrap();
    let expected = expected.replace("ONLINE", online.trim());
    assert_eq!((err.as_str(), code), (expected.as_str(), exit_code::OK));
}

#[test]
fn no_file() {
    let (out, err, code) = check(Path::new("/nowhere/ecosystem.toml"), &around(), false);
    let expected = "no ecosystem.toml in /nowhere: run `dogwatch init`, or name one with -f FILE\n";
    assert_eq!((out.as_str(), err.as_str(), code), ("", expected, exit_code::CONFIG));
}
