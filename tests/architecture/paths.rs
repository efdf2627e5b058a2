//! The paths that a source file names, as far as tokens show them.

/// What one file takes from others.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Paths {
    pub(crate) imports: Vec<Import>,
    /// Paths in the code itself that begin with `crate`, `self` or `super`.
    pub(crate) inline: Vec<Vec<String>>,
    /// Modules that exist in tests only.
    pub(crate) test_modules: Vec<String>,
    /// All words of the code outside of imports.
    pub(crate) words: Vec<String>,
    /// What the file itself defines.
    pub(crate) defined: Vec<String>,
}

/// One name of a `use`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Import {
    /// `*` at the end takes everything.
    pub(crate) path: Vec<String>,
    /// What it is called here.
    pub(crate) name: String,
    /// Handed on to others.
    pub(crate) public: bool,
}

/// Reads a file; what exists in tests only is left out.
pub(crate) fn read(text: &str) -> Paths {
    let mut paths = Paths::default();
    let tokens = tokens(text);
    let mut at = 0;
    while at < tokens.len() {
        let rest = &tokens[at..];
        if starts(rest, &["#", "[", "cfg", "(", "test", ")", "]"]) {
            at += 7;
            at += skip_item(&tokens[at..], &mut paths.test_modules);
        } else if rest[0] == "use" {
            let end = rest.iter().position(|token| token == ";").unwrap_or(rest.len());
            let public = at > 0 && matches!(tokens[at - 1].as_str(), "pub" | ")");
            tree(&rest[1..end], &[], public, &mut paths.imports);
            at += end;
        } else if matches!(rest[0].as_str(), "crate" | "self" | "super") && starts(&rest[1..], &["::"]) {
            // The scope of a visibility, `pub(in crate::room)`, is no use of it.
            let scope = at > 0 && tokens[at - 1] == "in";
            let mut path = vec![rest[0].clone()];
            let mut next = 1;
            while starts(&rest[next..], &["::"]) && rest.get(next + 1).is_some_and(|token| is_word(token)) {
                path.push(rest[next + 1].clone());
                next += 2;
            }
            if !scope {
                paths.inline.push(path);
            }
            at += next;
        } else {
            let defines = matches!(
                rest[0].as_str(),
                "fn" | "struct" | "enum" | "trait" | "type" | "const" | "static" | "union" | "mod"
            );
            if let Some(name) = rest.get(1).filter(|name| defines && is_word(name)) {
                paths.defined.push(name.clone());
                // The word of its own definition is no use of a name.
                at += 1;
            } else if is_word(&rest[0]) {
                paths.words.push(rest[0].clone());
            }
            at += 1;
        }
    }
    paths
}

/// How many tokens the item takes that follows an attribute; notes it if it is a module.
fn skip_item(tokens: &[String], modules: &mut Vec<String>) -> usize {
    let module =
        tokens.iter().take_while(|token| !matches!(token.as_str(), ";" | "{")).position(|token| token == "mod");
    if let Some(name) = module.and_then(|at| tokens.get(at + 1)) {
        modules.push(name.clone());
    }
    let is_use = tokens.iter().take(8).take_while(|token| *token != "{" && *token != ";").any(|token| token == "use");
    let mut depth = 0_usize;
    for (index, token) in tokens.iter().enumerate() {
        match token.as_str() {
            "{" => depth += 1,
            "}" => {
                depth = depth.saturating_sub(1);
                if depth == 0 && !is_use {
                    return index + 1;
                }
            }
            ";" if depth == 0 => return index + 1,
            _ => {}
        }
    }
    tokens.len()
}

/// The names of `a::{b, c::{self, D as E}}`.
fn tree(tokens: &[String], prefix: &[String], public: bool, imports: &mut Vec<Import>) {
    let mut path = prefix.to_vec();
    let mut at = 0;
    while at < tokens.len() {
        match tokens[at].as_str() {
            "::" => {}
            "{" => {
                for part in parts(&tokens[at + 1..]) {
                    tree(part, &path, public, imports);
                }
                return;
            }
            "as" => {
                let name = tokens.get(at + 1).cloned().unwrap_or_default();
                imports.push(Import { path, name, public });
                return;
            }
            // `self` in braces is the path so far.
            "self" if !path.is_empty() => {}
            word => path.push(word.to_owned()),
        }
        at += 1;
    }
    let name = path.last().cloned().unwrap_or_default();
    imports.push(Import { path, name, public });
}

/// What stands between the commas, up to the brace that closes.
fn parts(tokens: &[String]) -> Vec<&[String]> {
    let (mut depth, mut start, mut parts) = (0_usize, 0, Vec::new());
    for (index, token) in tokens.iter().enumerate() {
        match token.as_str() {
            "{" => depth += 1,
            "}" if depth == 0 => {
                parts.push(&tokens[start..index]);
                break;
            }
            "}" => depth -= 1,
            "," if depth == 0 => {
                parts.push(&tokens[start..index]);
                start = index + 1;
            }
            _ => {}
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}

/// Words, `::` and single signs; no comments, texts and characters.
fn tokens(text: &str) -> Vec<String> {
    let letters: Vec<char> = text.chars().collect();
    let (mut at, mut tokens) = (0, Vec::new());
    while at < letters.len() {
        let rest = &letters[at..];
        let word = rest.iter().take_while(|letter| letter.is_alphanumeric() || **letter == '_').count();
        let taken = if let Some(length) = comment(rest).or_else(|| literal(rest)) {
            length
        } else if word > 0 {
            tokens.push(rest[..word].iter().collect());
            word
        } else if rest.starts_with(&[':', ':']) {
            tokens.push("::".to_owned());
            2
        } else {
            if !rest[0].is_whitespace() {
                tokens.push(rest[0].to_string());
            }
            1
        };
        at += taken;
    }
    tokens
}

/// The length of a comment that begins here.
fn comment(rest: &[char]) -> Option<usize> {
    if rest.starts_with(&['/', '/']) {
        return Some(rest.iter().take_while(|letter| **letter != '\n').count());
    }
    if !rest.starts_with(&['/', '*']) {
        return None;
    }
    let end = rest.windows(2).skip(2).position(|pair| pair == ['*', '/']);
    Some(end.map_or(rest.len(), |end| end + 4))
}

/// The length of a text or a character that begins here, with its prefix (`b`, `r#`).
fn literal(rest: &[char]) -> Option<usize> {
    let prefix = rest.iter().take_while(|letter| matches!(letter, 'b' | 'c' | 'r')).count();
    let hashes = rest[prefix..].iter().take_while(|letter| **letter == '#').count();
    let raw = rest[..prefix].contains(&'r');
    let quote = prefix + hashes;
    match rest.get(quote) {
        Some('"') if raw && prefix <= 2 => {
            let end: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
            let body = &rest[quote + 1..];
            let length = body.windows(end.len()).position(|window| window == end).unwrap_or(body.len());
            Some(quote + 1 + length + end.len())
        }
        Some('"') if hashes == 0 && prefix <= 1 => Some(quote + 1 + quoted(&rest[quote + 1..], '"')),
        // Not a lifetime.
        Some('\'')
            if hashes == 0
                && prefix <= 1
                && (rest.get(quote + 1) == Some(&'\\') || rest.get(quote + 2) == Some(&'\'')) =>
        {
            Some(quote + 1 + quoted(&rest[quote + 1..], '\''))
        }
        _ => None,
    }
}

/// The length up to and with the closing quote.
fn quoted(rest: &[char], quote: char) -> usize {
    let mut at = 0;
    while at < rest.len() {
        match rest[at] {
            '\\' => at += 1,
            letter if letter == quote => return at + 1,
            _ => {}
        }
        at += 1;
    }
    at
}

fn starts(tokens: &[String], wanted: &[&str]) -> bool {
    tokens.len() >= wanted.len() && tokens.iter().zip(wanted).all(|(token, wanted)| token == wanted)
}

fn is_word(token: &str) -> bool {
    token.chars().next().is_some_and(|letter| letter.is_alphabetic() || letter == '_')
}
