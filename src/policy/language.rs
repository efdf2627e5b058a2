//! oslo.policy's rule language: text, or the older list of lists, becomes a tree of checks (upstream: `oslo_policy/_parser.py`).

use super::subject::Subject;
use super::template::{BadFormat, Template};

/// A condition on the caller and the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Check {
    Always,
    Never,
    /// A word that is no check: it refuses, and the rest of its rule stands.
    Unknown(String),
    Not(Box<Check>),
    All(Vec<Check>),
    Any(Vec<Check>),
    /// What another rule says. `index` is its place among all rules, once they are known; `None` refuses.
    Rule {
        name: String,
        index: Option<usize>,
    },
    /// The caller has a role of this name.
    Role(Template),
    /// A literal or a credential equals a value of the target.
    Equal {
        subject: Subject,
        value: Template,
    },
    /// A server answers `True`. `id` numbers such checks within one set of rules.
    Remote {
        url: Template,
        id: usize,
    },
}

/// Why upstream fails a request on reaching a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadCheck {
    #[error(transparent)]
    Format(#[from] BadFormat),
    #[error("what stands before the colon is neither a literal nor a credential")]
    Subject,
}

/// The text is not in the language: upstream logs that and then refuses everyone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRule {
    #[error("a quoted text stands alone")]
    Text,
    #[error("a check, 'not' or '(' is missing or misplaced")]
    Grammar,
    #[error("parentheses do not match")]
    Parentheses,
    #[error("nested too deeply")]
    Depth,
}

impl Check {
    /// What will be wrong with the check itself, not with those within it, when it is reached.
    pub(super) fn problem(&self) -> Option<BadCheck> {
        match self {
            Self::Equal { subject: Subject::Unreadable, .. } => Some(BadCheck::Subject),
            Self::Role(text) | Self::Equal { value: text, .. } | Self::Remote { url: text, .. } if text.is_bad() => {
                Some(BadFormat.into())
            }
            _ => None,
        }
    }

    /// Shows every check of the tree to `visitor`.
    pub(super) fn visit(&self, visitor: &mut dyn FnMut(&Check)) {
        visitor(self);
        match self {
            Self::Not(inner) => inner.visit(visitor),
            Self::All(checks) | Self::Any(checks) => checks.iter().for_each(|check| check.visit(visitor)),
            _ => {}
        }
    }

    /// As [`Check::visit`], to change them.
    pub(super) fn visit_mut(&mut self, visitor: &mut dyn FnMut(&mut Check)) {
        visitor(self);
        match self {
            Self::Not(inner) => inner.visit_mut(visitor),
            Self::All(checks) | Self::Any(checks) => checks.iter_mut().for_each(|check| check.visit_mut(visitor)),
            _ => {}
        }
    }
}

/// Parentheses and negations within each other.
const MAX_DEPTH: usize = 200;

/// Reads a rule in the text form.
///
/// # Errors
/// The text is not in the language.
pub(super) fn parse(text: &str) -> Result<Check, BadRule> {
    if text.is_empty() {
        return Ok(Check::Always);
    }
    let tokens = tokenize(text)?;
    let mut parser = Parser { tokens: &tokens, depth: 0 };
    let check = parser.any()?;
    match parser.tokens.first() {
        None => Ok(check),
        Some(Token::Close) => Err(BadRule::Parentheses),
        Some(_) => Err(BadRule::Grammar),
    }
}

/// Reads the list form: any of the outer list, all of an inner one.
pub(super) fn parse_list(rule: &[Vec<String>]) -> Check {
    if rule.is_empty() {
        return Check::Always;
    }
    let mut any: Vec<_> = rule
        .iter()
        .filter(|all| !all.is_empty())
        .map(|all| single_or(all.iter().map(|word| parse_word(word)).collect(), Check::All))
        .collect();
    if any.is_empty() {
        any.push(Check::Never);
    }
    single_or(any, Check::Any)
}

#[derive(Debug)]
enum Token {
    Open,
    Close,
    And,
    Or,
    Not,
    Check(Check),
}

/// Words are separated by white space; parentheses stick to them.
fn tokenize(text: &str) -> Result<Vec<Token>, BadRule> {
    let mut tokens = Vec::new();
    for word in text.split(is_space).filter(|word| !word.is_empty()) {
        let inner = word.trim_start_matches('(');
        tokens.extend((inner.len()..word.len()).map(|_| Token::Open));
        let bare = inner.trim_end_matches(')');
        match bare.to_lowercase().as_str() {
            "" => {}
            "and" => tokens.push(Token::And),
            "or" => tokens.push(Token::Or),
            "not" => tokens.push(Token::Not),
            _ if is_quoted(inner) => return Err(BadRule::Text),
            _ => tokens.push(Token::Check(parse_word(bare))),
        }
        tokens.extend((bare.len()..inner.len()).map(|_| Token::Close));
    }
    Ok(tokens)
}

/// Python's `\s`.
fn is_space(character: char) -> bool {
    character.is_whitespace() || ('\x1c'..='\x1f').contains(&character)
}

fn is_quoted(word: &str) -> bool {
    ['\'', '"'].iter().any(|quote| word.len() >= 2 && word.starts_with(*quote) && word.ends_with(*quote))
}

fn parse_word(word: &str) -> Check {
    let Some((kind, value)) = word.split_once(':') else {
        return match word {
            "@" => Check::Always,
            "!" => Check::Never,
            _ => Check::Unknown(word.to_owned()),
        };
    };
    match kind {
        "rule" => Check::Rule { name: value.to_owned(), index: None },
        "role" => Check::Role(Template::parse(value)),
        "http" | "https" => Check::Remote { url: Template::parse(word), id: 0 },
        _ => Check::Equal { subject: Subject::parse(kind), value: Template::parse(value) },
    }
}

/// The usual grammar: `or` binds weakest, then `and`, then `not`.
struct Parser<'a> {
    tokens: &'a [Token],
    depth: usize,
}

impl Parser<'_> {
    fn any(&mut self) -> Result<Check, BadRule> {
        let mut checks = vec![self.all()?];
        while self.eat(|token| matches!(token, Token::Or)) {
            checks.push(self.all()?);
        }
        Ok(single_or(checks, Check::Any))
    }

    fn all(&mut self) -> Result<Check, BadRule> {
        let mut checks = vec![self.one()?];
        while self.eat(|token| matches!(token, Token::And)) {
            checks.push(self.one()?);
        }
        Ok(single_or(checks, Check::All))
    }

    fn one(&mut self) -> Result<Check, BadRule> {
        let (token, rest) = self.tokens.split_first().ok_or(BadRule::Grammar)?;
        self.tokens = rest;
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(BadRule::Depth);
        }
        let check = match token {
            Token::Check(check) => check.clone(),
            Token::Not => Check::Not(Box::new(self.one()?)),
            Token::Open => {
                let inner = self.any()?;
                if !self.eat(|token| matches!(token, Token::Close)) {
                    return Err(BadRule::Parentheses);
                }
                inner
            }
            Token::Close | Token::And | Token::Or => return Err(BadRule::Grammar),
        };
        self.depth -= 1;
        Ok(check)
    }

    fn eat(&mut self, wanted: impl Fn(&Token) -> bool) -> bool {
        match self.tokens.split_first() {
            Some((token, rest)) if wanted(token) => {
                self.tokens = rest;
                true
            }
            _ => false,
        }
    }
}

fn single_or(mut checks: Vec<Check>, join: impl Fn(Vec<Check>) -> Check) -> Check {
    match checks.pop() {
        Some(only) if checks.is_empty() => only,
        Some(last) => {
            checks.push(last);
            join(checks)
        }
        None => Check::Never,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(name: &str) -> Check {
        Check::Role(Template::parse(name))
    }

    #[test]
    fn precedence_is_not_then_and_then_or() {
        let (a, b, c) = (role("a"), role("b"), role("c"));
        let not = |check: &Check| Check::Not(Box::new(check.clone()));
        for (text, expected) in [
            ("", Check::Always),
            ("@", Check::Always),
            ("!", Check::Never),
            ("role:a", a.clone()),
            ("((role:a))", a.clone()),
            ("not role:a", not(&a)),
            ("NOT not role:a", not(&not(&a))),
            ("role:a AND role:b and role:c", Check::All(vec![a.clone(), b.clone(), c.clone()])),
            ("role:a or role:b and role:c", Check::Any(vec![a.clone(), Check::All(vec![b.clone(), c.clone()])])),
            ("role:a and role:b or role:c", Check::Any(vec![Check::All(vec![a.clone(), b.clone()]), c.clone()])),
            ("(role:a or role:b) and role:c", Check::All(vec![Check::Any(vec![a.clone(), b.clone()]), c.clone()])),
            ("( role:a or role:b )and:x", Check::Never),
            ("not role:a and role:b", Check::All(vec![not(&a), b.clone()])),
            ("not ( role:a and role:b )", not(&Check::All(vec![a.clone(), b.clone()]))),
            ("nonsense or role:a", Check::Any(vec![Check::Unknown("nonsense".to_owned()), a.clone()])),
        ] {
            assert_eq!(parse(text).unwrap_or(Check::Never), expected, "{text}");
        }
    }

    #[test]
    fn what_is_not_in_the_language_says_why() {
        for (text, expected) in [
            (" ", BadRule::Grammar),
            ("role:a role:b", BadRule::Grammar),
            ("role:a and", BadRule::Grammar),
            ("or role:a", BadRule::Grammar),
            ("role:a not role:b", BadRule::Grammar),
            ("()", BadRule::Grammar),
            ("(role:a", BadRule::Parentheses),
            ("role:a)", BadRule::Parentheses),
            ("'public'", BadRule::Text),
            ("role:a or \"x:y\"", BadRule::Text),
        ] {
            assert_eq!(parse(text), Err(expected), "{text}");
        }
        assert_eq!(parse(&format!("{}@{}", "(".repeat(100_000), ")".repeat(100_000))), Err(BadRule::Depth));
        assert_eq!(parse(&format!("{} @", "not ".repeat(100_000))), Err(BadRule::Depth));
    }

    #[test]
    fn lists_are_any_of_all() {
        let words = |words: &[&[&str]]| {
            words.iter().map(|all| all.iter().map(|&word| word.to_owned()).collect()).collect::<Vec<Vec<String>>>()
        };
        let (a, b, c) = (role("a"), role("b"), role("c"));
        assert_eq!(parse_list(&words(&[])), Check::Always);
        assert_eq!(parse_list(&words(&[&[]])), Check::Never);
        assert_eq!(parse_list(&words(&[&["role:a"]])), a);
        assert_eq!(
            parse_list(&words(&[&["role:a", "role:b"], &[], &["role:c"]])),
            Check::Any(vec![Check::All(vec![a, b]), c])
        );
        assert_eq!(parse_list(&words(&[&["nonsense"]])), Check::Unknown("nonsense".to_owned()));
    }

    #[test]
    fn kinds_are_told_apart() {
        assert_eq!(parse("rule:x:y").unwrap(), Check::Rule { name: "x:y".to_owned(), index: None },);
        let Check::Remote { url, .. } = parse("https://h/%(a)s").unwrap() else { panic!("not remote") };
        assert_eq!(url, Template::parse("https://h/%(a)s"));
        assert!(matches!(parse("class:x").unwrap(), Check::Equal { subject: Subject::Unreadable, .. }));
        assert!(matches!(parse("'it''s':%(a)s").unwrap(), Check::Equal { .. }));
    }
}
