//! A filter's text.

use regex_lite::Regex;

use super::{FilterError, Selector, Test};

/// Reads one filter. An empty one has no selectors, and matches everything.
pub(super) fn filter(text: &str) -> Result<Vec<Selector>, FilterError> {
    let mut parser = Parser { text, at: 0 };
    let mut selectors = Vec::new();
    if text.is_empty() {
        return Ok(selectors);
    }
    loop {
        selectors.push(parser.selector()?);
        parser.skip_space();
        match parser.peek() {
            None => return Ok(selectors),
            Some(',') => parser.advance(),
            Some(other) => return Err(parser.problem(format!("{other:?} is not expected here"))),
        }
    }
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn advance(&mut self) {
        self.at += self.peek().map_or(0, char::len_utf8);
    }

    fn skip_space(&mut self) {
        while self.peek().is_some_and(char::is_whitespace) {
            self.advance();
        }
    }

    fn problem(&self, problem: impl Into<String>) -> FilterError {
        FilterError { filter: self.text.to_owned(), position: self.at, problem: problem.into() }
    }

    /// As long as `is_part` holds.
    fn take_while(&mut self, is_part: impl Fn(char) -> bool) -> &str {
        let start = self.at;
        while self.peek().is_some_and(&is_part) {
            self.advance();
        }
        &self.text[start..self.at]
    }

    fn selector(&mut self) -> Result<Selector, FilterError> {
        let mut path = vec![self.field()?];
        while self.peek() == Some('.') {
            self.advance();
            path.push(self.field()?);
        }
        self.skip_space();
        if matches!(self.peek(), None | Some(',')) {
            return Ok(Selector { path, test: Test::Present });
        }
        Ok(Selector { path, test: self.test()? })
    }

    fn field(&mut self) -> Result<String, FilterError> {
        self.skip_space();
        if self.peek() == Some('"') {
            return self.quoted();
        }
        let field = self.take_while(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_').to_owned();
        if field.is_empty() {
            return Err(self.problem("a field is expected here"));
        }
        Ok(field)
    }

    fn test(&mut self) -> Result<Test, FilterError> {
        let start = self.at;
        let operator = self.take_while(|c| matches!(c, '=' | '!' | '~' | '@')).to_owned();
        let test = match operator.as_str() {
            "==" => Test::Equal,
            "!=" => Test::Different,
            "@=" => Test::Contains,
            "~=" => return self.expression(),
            _ => {
                self.at = start;
                return Err(self.problem("one of == != ~= @= is expected here"));
            }
        };
        self.skip_space();
        match self.peek() {
            Some('"') => self.quoted().map(test),
            _ => self.bare().map(test),
        }
    }

    /// A regular expression, which may be between slashes or bars, so that it can have quotes in it.
    fn expression(&mut self) -> Result<Test, FilterError> {
        self.skip_space();
        let start = self.at;
        let text = match self.peek() {
            Some('"') => self.quoted()?,
            Some(quote @ ('/' | '|')) => self.between(quote)?,
            _ => self.bare()?,
        };
        Regex::new(&text).map(Test::Matches).map_err(|error| {
            self.at = start;
            self.problem(format!("no regular expression: {error}"))
        })
    }

    fn bare(&mut self) -> Result<String, FilterError> {
        let value = self.take_while(|c| c != ',' && !c.is_whitespace() && !c.is_control()).to_owned();
        if value.is_empty() {
            return Err(self.problem("a value is expected here"));
        }
        Ok(value)
    }

    /// Up to the next `quote`, which a backslash lets be part of it; everything else stands for itself.
    fn between(&mut self, quote: char) -> Result<String, FilterError> {
        self.advance();
        let mut value = String::new();
        while let Some(c) = self.peek() {
            self.advance();
            match c {
                _ if c == quote => return Ok(value),
                '\\' if self.peek() == Some(quote) => {
                    value.push(quote);
                    self.advance();
                }
                _ => value.push(c),
            }
        }
        Err(self.problem(format!("the closing {quote} is missing")))
    }

    /// A string of the language Go, in double quotes.
    fn quoted(&mut self) -> Result<String, FilterError> {
        self.advance();
        let mut bytes = Vec::new();
        while let Some(c) = self.peek() {
            match c {
                '"' => {
                    self.advance();
                    return String::from_utf8(bytes).map_err(|_| self.problem("the value is not UTF-8"));
                }
                '\n' => break,
                '\\' => {
                    self.advance();
                    self.escape(&mut bytes)?;
                }
                _ => {
                    self.advance();
                    bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                }
            }
        }
        Err(self.problem("the closing \" is missing"))
    }

    fn escape(&mut self, bytes: &mut Vec<u8>) -> Result<(), FilterError> {
        let Some(c) = self.peek() else { return Err(self.problem("an escape without its letter")) };
        let byte = match c {
            'a' => 0x07,
            'b' => 0x08,
            'f' => 0x0c,
            'n' => b'\n',
            'r' => b'\r',
            't' => b'\t',
            'v' => 0x0b,
            '\\' | '"' => c as u8,
            '0'..='7' => {
                let number = self.digits(8, 3)?;
                let byte = u8::try_from(number).map_err(|_| self.problem("no byte has this number"))?;
                bytes.push(byte);
                return Ok(());
            }
            'x' | 'u' | 'U' => {
                self.advance();
                let count = if c == 'x' {
                    2
                } else if c == 'u' {
                    4
                } else {
                    8
                };
                let number = self.digits(16, count)?;
                if c == 'x' {
                    bytes.push(u8::try_from(number).expect("two digits are a byte"));
                    return Ok(());
                }
                let c = char::from_u32(number).ok_or_else(|| self.problem("no character has this number"))?;
                bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            other => return Err(self.problem(format!("\\{other} means nothing"))),
        };
        self.advance();
        bytes.push(byte);
        Ok(())
    }

    fn digits(&mut self, base: u32, count: usize) -> Result<u32, FilterError> {
        let mut number: u32 = 0;
        for _ in 0..count {
            let digit = self.peek().and_then(|c| c.to_digit(base));
            let digit = digit.ok_or_else(|| self.problem(format!("{count} digits are expected here")))?;
            // Eight digits of base 16 are 32 bits.
            number = number.wrapping_mul(base).wrapping_add(digit);
            self.advance();
        }
        Ok(number)
    }
}
