//! No text makes the loader panic, and every refusal has a place and words.

use std::path::PathBuf;

use proptest::prelude::*;

use super::super::{Mistakes, read};
use super::around;

const GOOD: &str = r#"
[dogwatch]
listen = "127.0.0.1:9615"
log_dir = "logs"
[compartments.production]
critical = true
[services.web]
compartment = "production"
command = ["bin/web", "--port=${PORT:-3000}", "$$"]
env = { PORT = "3000", "É" = "${PORT}" }
listen = ["127.0.0.1:3000"]
ready = { notify = true, timeout = "30s" }
memory = { limit = "256MiB", max = "320MiB" }
restart = { policy = "always", delay = "100ms", max_delay = "15s", stable_after = "10s" }
[services.api]
command = "exec api"
shell = true
after = ["web"]
stop = { signal = "SIGINT", timeout = "10s" }
log = { rotate_size = "10MiB", keep = 14, compress = true }
dogwatch_access = "view"
"#;

fn look(text: &str) {
    if let Err(found) = read(text, PathBuf::from("/srv/ecosystem.toml"), &around()) {
        let mistakes = Mistakes::new("ecosystem.toml".to_owned(), text.to_owned(), found.0);
        assert!(mistakes.len() > 0);
        assert!(mistakes.iter().all(|mistake| !mistake.message.is_empty()));
        assert!(!mistakes.to_string().is_empty());
    }
}

#[test]
fn the_good_file_is_good() {
    let read = read(GOOD, PathBuf::from("/srv/ecosystem.toml"), &around());
    assert!(read.is_ok(), "{read:?}");
}

#[test]
fn deep_nesting_and_floods_of_mistakes_end() {
    look(&"[".repeat(200_000));
    look(&"a = { ".repeat(100_000));
    look(&"=\n".repeat(100_000));
    look(&format!("a = {}1", "[".repeat(100_000)));
    let many: String = (0..3_000).map(|i| format!("[services.s{i}]\nx = 1\n")).collect();
    look(&many);
}

proptest! {
    #[test]
    fn random_text(text in "\\PC{0,200}") {
        look(&text);
    }

    #[test]
    fn random_toml(text in "([a-z]{1,3}|[\\[\\]{}=.,\"'#\n\r\t\\\\é0-9:T-]|services|command|env){0,60}") {
        look(&text);
    }

    #[test]
    fn a_good_file_with_a_part_replaced(
        from in 0..GOOD.len(), length in 0usize..40, by in "([\\[\\]{}=.,\"'$\n]|[a-z0-9é]){0,6}"
    ) {
        let mut text: Vec<char> = GOOD.chars().collect();
        let from = from.min(text.len());
        let to = (from + length).min(text.len());
        text.splice(from..to, by.chars());
        look(&text.into_iter().collect::<String>());
    }

    #[test]
    fn a_good_file_with_lines_swapped(one in 0usize..25, other in 0usize..25) {
        let mut lines: Vec<&str> = GOOD.lines().collect();
        let (one, other) = (one % lines.len(), other % lines.len());
        lines.swap(one, other);
        look(&lines.join("\n"));
    }
}
