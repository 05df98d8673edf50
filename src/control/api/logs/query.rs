//! The parameters of a request for logs.

use axum::http::{StatusCode, Uri};
use jiff::Zoned;

use crate::control::api::error::Refused;
use crate::logs::moments;
use crate::logs::sieve::{Context, Pattern};
use crate::logs::source::Filter;
use crate::wire::log_line::StreamName;

/// Lines of each stream, and neighbours of a match, that can be asked for: what is remembered of them is memory of the
/// control plane.
const MOST_LINES: u64 = 100_000;
const MOST_NEIGHBOURS: usize = 100;

/// What is said of a parameter that is none.
const ALL: &str = "the parameters are stream, lines, since, until, grep, ignore_case, before, after";

/// What can be asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    /// Only this one.
    pub stream: Option<StreamName>,
    /// The last so many of each stream.
    pub lines: Option<u64>,
    /// Not older: as `logs --since` has it.
    pub since: Option<String>,
    /// Not younger.
    pub until: Option<String>,
    /// Only lines that match.
    pub grep: Option<String>,
    /// Upper and lower case are the same.
    pub ignore_case: bool,
    /// So many lines before each match.
    pub before: usize,
    /// So many lines after each match.
    pub after: usize,
}

impl Query {
    /// Reads what stands behind the question mark.
    ///
    /// # Errors
    /// Which parameter is wrong, and what it must be.
    pub fn of(uri: &Uri) -> Result<Query, Refused> {
        let pairs = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(uri);
        let pairs = pairs.map_err(|error| bad(format!("the parameters: {error}")))?.0;
        let mut query = Query::default();
        for (position, (name, value)) in pairs.iter().enumerate() {
            if pairs[..position].iter().any(|(other, _)| other == name) {
                return Err(bad(format!("{name}: it is given twice")));
            }
            query.set(name, value)?;
        }
        Ok(query)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), Refused> {
        let wrong = |wanted: String| bad(format!("{name}: it must be {wanted}, not {value:?}"));
        let up_to = |most: u64| {
            let number = value.parse().ok().filter(|number| *number <= most);
            number.ok_or_else(|| wrong(format!("a number from 0 to {most}")))
        };
        match name {
            "stream" => {
                let all = [StreamName::Out, StreamName::Error, StreamName::Merged];
                let found = all.into_iter().find(|stream| stream.word() == value);
                self.stream = Some(found.ok_or_else(|| wrong("out, error or merged".to_owned()))?);
            }
            "lines" => {
                let advice = "for more ask for a time (since, until), or for the bytes (NAME/logs/out)";
                self.lines = Some(up_to(MOST_LINES).map_err(|refused| refused.hint(advice))?);
            }
            "since" => self.since = Some(value.to_owned()),
            "until" => self.until = Some(value.to_owned()),
            "grep" => self.grep = Some(value.to_owned()),
            "ignore_case" => {
                self.ignore_case = value.parse().map_err(|_| wrong("true or false".to_owned()))?;
            }
            "before" => self.before = up_to(MOST_NEIGHBOURS as u64)? as usize,
            "after" => self.after = up_to(MOST_NEIGHBOURS as u64)? as usize,
            _ => return Err(bad(format!("{name:?} is no parameter of logs")).hint(ALL)),
        }
        Ok(())
    }

    /// The lines that are wanted, at this moment.
    ///
    /// # Errors
    /// A time or a pattern is none.
    pub fn filter(&self) -> Result<Filter, Refused> {
        let now = Zoned::now();
        let moment = |what: &str, text: &Option<String>| {
            let parsed = text.as_ref().map(|text| moments::parse(text, &now)).transpose();
            parsed.map_err(|why| bad(format!("{what}: {why}")))
        };
        let pattern = self.grep.as_ref().map(|text| Pattern::new(text, self.ignore_case)).transpose();
        Ok(Filter {
            since: moment("since", &self.since)?,
            until: moment("until", &self.until)?,
            pattern: pattern.map_err(|why| bad(format!("grep: {why}")))?,
            context: Context { before: self.before, after: self.after },
        })
    }
}

/// A refusal of what was asked.
pub fn bad(why: impl Into<String>) -> Refused {
    Refused::new(StatusCode::BAD_REQUEST, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Result<Query, String> {
        let uri = format!("/v1/services/web/logs?{text}").parse().unwrap();
        Query::of(&uri).map_err(|refused| refused.refusal.error)
    }

    #[test]
    fn parameters() {
        let all =
            "stream=error&lines=100000&since=1h&until=today&grep=a%2B+b&ignore_case=true&before=1&after=100";
        let expected = Query {
            stream: Some(StreamName::Error),
            lines: Some(100_000),
            since: Some("1h".to_owned()),
            until: Some("today".to_owned()),
            grep: Some("a+ b".to_owned()),
            ignore_case: true,
            before: 1,
            after: 100,
        };
        assert_eq!(query(all), Ok(expected));
        assert_eq!(query(""), Ok(Query::default()));
    }

    #[test]
    fn which_one_is_wrong_and_what_it_must_be() {
        for (text, said) in [
            ("lines=abc", "lines: it must be a number from 0 to 100000, not \"abc\""),
            ("lines=100001", "lines: it must be a number from 0 to 100000, not \"100001\""),
            ("lines=", "lines: it must be a number from 0 to 100000, not \"\""),
            ("before=-1", "before: it must be a number from 0 to 100, not \"-1\""),
            ("after=101", "after: it must be a number from 0 to 100, not \"101\""),
            ("stream=stdout", "stream: it must be out, error or merged, not \"stdout\""),
            ("ignore_case=1", "ignore_case: it must be true or false, not \"1\""),
            ("line=1", "\"line\" is no parameter of logs"),
            ("lines=1&lines=2", "lines: it is given twice"),
        ] {
            assert_eq!(query(text), Err(said.to_owned()), "{text}");
        }
    }
}
