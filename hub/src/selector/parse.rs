//! The text form of label selectors.
//!
//! Owns the grammar of `k8s.io/apimachinery/pkg/labels` and the words of kube-apiserver 1.36 for
//! what does not fit it. Pure. Start at [`parse_labels`].

use super::Requirement;
use crate::strategy::check;

/// Longest selector text read.
const MAX_BYTES: usize = 64 << 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a str),
    Symbol(&'a str),
    End,
}

impl<'a> Token<'a> {
    fn text(self) -> &'a str {
        match self {
            Token::Word(text) | Token::Symbol(text) => text,
            Token::End => "",
        }
    }
}

struct Parser<'a> {
    tokens: Vec<Token<'a>>,
    next: usize,
}

pub(super) fn parse_labels(text: &str) -> Result<Vec<Requirement>, String> {
    if text.len() > MAX_BYTES {
        return Err(format!("label selector of {} bytes, at most {MAX_BYTES} allowed", text.len()));
    }
    let mut parser = Parser { tokens: tokens(text), next: 0 };
    let mut found = Vec::new();
    loop {
        match parser.peek() {
            Token::End => return Ok(found),
            Token::Word(_) | Token::Symbol("!") => {}
            other => {
                let text = other.text();
                return Err(format!("found '{text}', expected: !, identifier, or 'end of string'"));
            }
        }
        let one = parser.requirement();
        found.push(one.map_err(|why| format!("unable to parse requirement: {why}"))?);
        match parser.take() {
            Token::End => return Ok(found),
            Token::Symbol(",") => match parser.peek() {
                Token::Word(_) | Token::Symbol("!") => {}
                other => {
                    let text = other.text();
                    return Err(format!("found '{text}', expected: identifier after ','"));
                }
            },
            other => {
                let text = other.text();
                return Err(format!("found '{text}', expected: ',' or 'end of string'"));
            }
        }
    }
}

fn tokens(text: &str) -> Vec<Token<'_>> {
    const SYMBOLS: [&str; 9] = ["==", "!=", "=", "!", "(", ")", ",", ">", "<"];
    let is_symbol = |c: char| "=!(),<>".contains(c);
    let mut out = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let symbol = SYMBOLS.iter().find_map(|s| rest.get(..s.len()).filter(|r| r == s));
        let length = match symbol {
            Some(symbol) => {
                out.push(Token::Symbol(symbol));
                symbol.len()
            }
            None => {
                let end = rest.find(|c: char| c.is_whitespace() || is_symbol(c));
                let (word, _) = rest.split_at(end.unwrap_or(rest.len()));
                out.push(Token::Word(word));
                word.len()
            }
        };
        rest = rest[length..].trim_start();
    }
    out
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Token<'a> {
        self.tokens.get(self.next).copied().unwrap_or(Token::End)
    }

    fn take(&mut self) -> Token<'a> {
        let token = self.peek();
        self.next += 1;
        token
    }

    fn requirement(&mut self) -> Result<Requirement, String> {
        let is_negated = self.peek() == Token::Symbol("!");
        if is_negated {
            self.take();
        }
        let key = match self.take() {
            Token::Word(key) => key.to_owned(),
            other => return Err(format!("found '{}', expected: identifier", other.text())),
        };
        if let Some(why) = check::key_problem(&key) {
            return Err(format!("<nil>: Invalid value: {key:?}: {why}"));
        }
        if is_negated {
            return Ok(Requirement::DoesNotExist(key));
        }
        if matches!(self.peek(), Token::End | Token::Symbol(",")) {
            return Ok(Requirement::Exists(key));
        }
        match self.take() {
            Token::Word("in") => Ok(Requirement::In(key.clone(), self.list(&key)?)),
            Token::Word("notin") => Ok(Requirement::NotIn(key.clone(), self.list(&key)?)),
            Token::Symbol("=" | "==") => Ok(Requirement::In(key.clone(), vec![self.one(&key)?])),
            Token::Symbol("!=") => Ok(Requirement::NotIn(key.clone(), vec![self.one(&key)?])),
            Token::Symbol(op @ (">" | "<")) => {
                let text = self.one(&key)?;
                let bound = text.parse().map_err(|_| {
                    format!(
                        "values[0]: Invalid value: {text:?}: for 'Gt', 'Lt' operators, the value must be an integer"
                    )
                })?;
                Ok(Requirement::Compare(key, bound, op == ">"))
            }
            other => {
                let text = other.text();
                Err(format!("found '{text}', expected: in, notin, =, ==, !=, gt, lt"))
            }
        }
    }

    /// The value of `=` and its like; nothing is the empty text.
    fn one(&mut self, key: &str) -> Result<String, String> {
        if matches!(self.peek(), Token::End | Token::Symbol(",")) {
            return Ok(String::new());
        }
        match self.take() {
            Token::Word(value) => checked_value(key, 0, value),
            other => Err(format!("found '{}', expected: identifier", other.text())),
        }
    }

    /// `(a, b)`
    fn list(&mut self, key: &str) -> Result<Vec<String>, String> {
        match self.take() {
            Token::Symbol("(") => {}
            other => return Err(format!("found '{}' expected: '('", other.text())),
        }
        let mut values: Vec<String> = Vec::new();
        loop {
            match self.take() {
                Token::Word(value) => {
                    values.push(checked_value(key, values.len(), value)?);
                    match self.take() {
                        Token::Symbol(",") => {}
                        Token::Symbol(")") => return Ok(values),
                        other => {
                            return Err(format!("found '{}', expected: ',' or ')'", other.text()));
                        }
                    }
                }
                Token::Symbol(",") => values.push(String::new()),
                Token::Symbol(")") => {
                    values.push(String::new());
                    return Ok(values);
                }
                other => {
                    let text = other.text();
                    return Err(format!("found '{text}', expected: ',', ')' or identifier"));
                }
            }
        }
    }
}

fn checked_value(key: &str, index: usize, value: &str) -> Result<String, String> {
    match check::value_problem(value) {
        Some(why) => Err(format!("values[{index}][{key}]: Invalid value: {value:?}: {why}")),
        None => Ok(value.to_owned()),
    }
}
