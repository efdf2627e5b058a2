//! What an error says together with its causes.

use std::error::Error;
use std::iter::successors;

/// An error, what caused it, what caused that, and so on.
pub(crate) fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    successors(Some(error), |error| (*error).source())
}

/// An error and its causes on one line, each once.
pub(crate) struct ErrorWithCauses<'a>(pub(crate) &'a (dyn Error + 'static));

impl std::fmt::Display for ErrorWithCauses<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = self.0.to_string();
        for cause in chain(self.0).skip(1).map(ToString::to_string) {
            // Some errors tell their causes themselves.
            if !text.contains(&cause) {
                text.push_str(": ");
                text.push_str(&cause);
            }
        }
        f.write_str(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_is_told_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("{text}")]
        struct Told {
            text: &'static str,
            source: Option<Box<Told>>,
        }
        let told = |text, source: Option<Told>| Told { text, source: source.map(Box::new) };
        let talkative = told("cannot ask: refused", Some(told("refused", Some(told("errno 1", None)))));
        assert_eq!(
            ErrorWithCauses(&told("no answer", Some(talkative))).to_string(),
            "no answer: cannot ask: refused: errno 1"
        );
    }
}
