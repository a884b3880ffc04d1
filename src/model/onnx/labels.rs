//! The names of classes: as exporters write them into a file's metadata, and those of networks that say none.
//!
//! Ultralytics writes the text of a Python dict, `{0: 'person', 1: "traffic light"}`; others write a list, or JSON.
//! What is neither is no names, never an error: nothing is lost but names.

use std::iter::Peekable;
use std::str::Chars;

/// Names that are taken.
const MAX_LABELS: usize = 10_000;
/// Bytes of a name.
const MAX_LENGTH: usize = 200;

/// The classes of COCO in the order of all networks that were trained on its 80.
const COCO: &str = "person bicycle car motorcycle airplane bus train truck boat traffic_light fire_hydrant stop_sign \
    parking_meter bench bird cat dog horse sheep cow elephant bear zebra giraffe backpack umbrella handbag tie \
    suitcase frisbee skis snowboard sports_ball kite baseball_bat baseball_glove skateboard surfboard tennis_racket \
    bottle wine_glass cup fork knife spoon bowl banana apple sandwich orange broccoli carrot hot_dog pizza donut cake \
    chair couch potted_plant bed dining_table toilet tv laptop mouse remote keyboard cell_phone microwave oven toaster \
    sink refrigerator book clock vase scissors teddy_bear hair_drier toothbrush";

/// The names of the 80 classes of COCO.
pub fn coco() -> Vec<String> {
    COCO.split_ascii_whitespace().map(|name| name.replace('_', " ")).collect()
}

/// Why these names are not taken, if they are not.
pub fn check(labels: &[String]) -> Result<(), String> {
    if labels.len() > MAX_LABELS {
        return Err(format!("labels: {} entries, at most {MAX_LABELS} are allowed", labels.len()));
    }
    for (at, label) in labels.iter().enumerate() {
        if label.len() > MAX_LENGTH {
            return Err(format!("labels: entry {at} has {} bytes, at most {MAX_LENGTH} are allowed", label.len()));
        }
        if label.chars().any(char::is_control) {
            return Err(format!("labels: entry {at} holds a control character; take it out"));
        }
    }
    Ok(())
}

/// How many there are, and the first of them.
pub fn shown(labels: &[String]) -> String {
    let first = labels.iter().take(5).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = if labels.len() > 5 { ", ..." } else { "" };
    format!("{}: {first}{more}", labels.len())
}

/// The names in the text of a Python dict from numbers to names, or of a list or tuple of names; `None` where it is
/// neither or names too much. Classes that a dict leaves out are called by their number.
pub fn parse(text: &str) -> Option<Vec<String>> {
    let mut reader = Reader(text.chars().peekable());
    let labels = match reader.token()? {
        '{' => reader.dict()?,
        '[' => reader.list(']')?,
        '(' => reader.list(')')?,
        _ => return None,
    };
    let is_all = reader.token().is_none();
    (is_all && !labels.is_empty() && check(&labels).is_ok()).then_some(labels)
}

/// What is left of a literal.
struct Reader<'a>(Peekable<Chars<'a>>);

impl Reader<'_> {
    /// The next character that is no space.
    fn token(&mut self) -> Option<char> {
        while self.0.next_if(|char| char.is_whitespace()).is_some() {}
        self.0.next()
    }

    /// What follows `{`.
    fn dict(&mut self) -> Option<Vec<String>> {
        let mut labels: Vec<Option<String>> = Vec::new();
        let mut next = self.token()?;
        while next != '}' {
            let class = self.value(next)?.parse::<usize>().ok().filter(|class| *class < MAX_LABELS)?;
            if self.token()? != ':' {
                return None;
            }
            let first = self.token()?;
            let label = self.value(first)?;
            labels.resize(labels.len().max(class + 1), None);
            labels[class] = Some(label);
            next = self.after('}')?;
        }
        let named = |(class, label): (usize, Option<String>)| label.unwrap_or_else(|| class.to_string());
        Some(labels.into_iter().enumerate().map(named).collect())
    }

    /// What follows the bracket that `end` closes.
    fn list(&mut self, end: char) -> Option<Vec<String>> {
        let mut labels = Vec::new();
        let mut next = self.token()?;
        while next != end {
            labels.push(self.value(next).filter(|_| labels.len() < MAX_LABELS)?);
            next = self.after(end)?;
        }
        Some(labels)
    }

    /// The first character of the entry behind the comma, or `end`.
    fn after(&mut self, end: char) -> Option<char> {
        match self.token()? {
            ',' => self.token(),
            token => (token == end).then_some(end),
        }
    }

    /// A string or a whole number that begins with `first`.
    fn value(&mut self, first: char) -> Option<String> {
        match first {
            '\'' | '"' => self.string(first),
            '0'..='9' => {
                let mut number = String::from(first);
                while let Some(digit) = self.0.next_if(char::is_ascii_digit) {
                    number.push(digit);
                }
                Some(number)
            }
            'u' => {
                let quote = self.0.next_if(|char| matches!(char, '\'' | '"'))?;
                self.string(quote)
            }
            _ => None,
        }
    }

    /// What stands before the closing `quote`.
    fn string(&mut self, quote: char) -> Option<String> {
        let mut text = String::new();
        loop {
            match self.0.next()? {
                '\\' => text.extend(self.escaped()?),
                char if char == quote => return Some(text),
                '\n' => return None,
                char => text.push(char),
            }
        }
    }

    /// What an escape stands for, behind its backslash: nothing for one at the end of a line.
    fn escaped(&mut self) -> Option<Option<char>> {
        let char = match self.0.next()? {
            '\n' => return Some(None),
            char @ ('\\' | '\'' | '"' | '/') => char,
            'n' | 't' | 'r' | 'a' | 'b' | 'f' | 'v' => ' ',
            'x' => self.code(2)?,
            'u' => self.code(4)?,
            'U' => self.code(8)?,
            digit @ '0'..='7' => {
                let mut code = digit.to_digit(8)?;
                for _ in 0..2 {
                    let Some(digit) = self.0.next_if(|char| char.is_digit(8)) else { break };
                    code = code * 8 + digit.to_digit(8)?;
                }
                char::from_u32(code)?
            }
            _ => return None,
        };
        Some(Some(char))
    }

    /// A character by so many hexadecimal digits.
    fn code(&mut self, n_digits: usize) -> Option<char> {
        let mut code = 0u32;
        for _ in 0..n_digits {
            code = code.checked_mul(16)? + self.0.next()?.to_digit(16)?;
        }
        char::from_u32(code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Option<Vec<String>> {
        parse(text)
    }

    fn labels(names: &[&str]) -> Option<Vec<String>> {
        Some(names.iter().map(|name| (*name).to_owned()).collect())
    }

    #[test]
    fn literals_of_python_and_json_are_read() {
        let dict = r#"{0: 'person', 1: "traffic light", 2: 'it\'s', 3: "a \"b\" \\ c"}"#;
        assert_eq!(parsed(dict), labels(&["person", "traffic light", "it's", "a \"b\" \\ c"]));
        assert_eq!(parsed(r#" { "1" : "b" , "0" : "a", } "#), labels(&["a", "b"]), "in any order, as JSON");
        assert_eq!(parsed("['a', u\"b\", 'd, e: {f}']"), labels(&["a", "b", "d, e: {f}"]));
        assert_eq!(parsed("('a',)"), labels(&["a"]));
        assert_eq!(parsed(r"['\x41\u00e9\U0001F600\101\ttab']"), labels(&["Aé😀A tab"]));
        assert_eq!(parsed("{2: 'c', 0: 7}"), labels(&["7", "1", "c"]), "what is left out, and a number for a name");
        assert_eq!(parsed("{0: '猫'}"), labels(&["猫"]));
    }

    #[test]
    fn garbage_is_no_names() {
        let long = format!("['{}']", "x".repeat(201));
        let many = format!("[{}]", "'a',".repeat(10_001));
        let garbage = [
            "",
            "{",
            "{}",
            "[]",
            "person",
            "{0}",
            "{0:}",
            "{0: 'a'",
            "{0: 'a' 1: 'b'}",
            "{0: 'a'} x",
            "{-1: 'a'}",
            "{0: 'a",
            "{0: a}",
            "{'x': 'a'}",
            "{99999999999999999999999: 'a'}",
            "{10000: 'a'}",
            r"['\q']",
            r"['\xg0']",
            r"['\ud800']",
            r"['\x07']",
            r"['\U99999999']",
            "['a\u{7}']",
            "['a'}",
            "[,]",
            "['a',,]",
            "[['a']]",
            "{0: 'a\nb'}",
            "\\",
            "['\\",
            "u",
            "[u]",
            &long,
            &many,
        ];
        for text in garbage {
            assert_eq!(parsed(text), None, "{text:.40}");
        }
    }

    #[test]
    fn coco_has_eighty_classes() {
        let coco = coco();
        assert_eq!((coco.len(), &*coco[0], &*coco[16], &*coco[62]), (80, "person", "dog", "tv"));
        assert_eq!((&*coco[9], &*coco[79]), ("traffic light", "toothbrush"));
        assert_eq!(shown(&coco), "80: person, bicycle, car, motorcycle, airplane, ...");
        assert_eq!(shown(&coco[..2]), "2: person, bicycle");
    }
}
