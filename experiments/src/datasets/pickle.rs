//! Python's pickles, as far as plain data need them: numbers, texts, lists, dictionaries, and the arrays of
//! NumPy in them. Nothing is run: an object is the name of its maker, the arguments, and the state it is
//! given. The format is that of Python's `pickletools`, protocols 2 to 4, as Python 2 and 3 write them.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::npy::Array;

/// Where a value lies: Python shares values, and changes them after it has shared them.
pub(super) type At = usize;

enum Value {
    None,
    /// A number or a truth value.
    Integer(i64),
    Text(Vec<u8>),
    /// A tuple or a list.
    Sequence(Vec<At>),
    /// A class or a function, as MODULE.NAME.
    Name(String),
    Object(Object),
}

/// A dictionary, or what a maker is called for.
#[derive(Default)]
struct Object {
    maker: Option<At>,
    arguments: Option<At>,
    state: Option<At>,
    entries: Vec<(At, At)>,
}

/// A file's values.
pub(super) struct Pickle {
    values: Vec<Value>,
    /// The value that all others belong to.
    pub root: At,
}

impl Pickle {
    /// Reads a file's bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let mut machine =
            Machine { bytes, values: vec![], stack: vec![], marks: vec![], memo: HashMap::new() };
        while machine.step()? {}
        let root = machine.pop()?;
        Ok(Self { values: machine.values, root })
    }

    /// Keys and values of a dictionary.
    pub fn entries(&self, at: At) -> Result<&[(At, At)], String> {
        match &self.values[at] {
            Value::Object(Object { entries, .. }) => Ok(entries),
            _ => Err("holds something else where a dictionary is wanted".into()),
        }
    }

    /// An attribute of an object.
    pub fn attribute(&self, at: At, name: &str) -> Result<At, String> {
        let Value::Object(Object { state: Some(state), .. }) = self.values[at] else {
            return Err(format!("holds something else where an object with {name} is wanted"));
        };
        let named = |(key, _): &&(At, At)| self.text(*key).is_ok_and(|text| *text == *name.as_bytes());
        Ok(self.entries(state)?.iter().find(named).ok_or(format!("holds an object without {name}"))?.1)
    }

    /// The entries of a tuple or a list.
    pub fn sequence(&self, at: At) -> Result<&[At], String> {
        match &self.values[at] {
            Value::Sequence(entries) => Ok(entries),
            _ => Err("holds something else where a list is wanted".into()),
        }
    }

    /// A whole number.
    pub fn integer(&self, at: At) -> Result<i64, String> {
        match self.values[at] {
            Value::Integer(v) => Ok(v),
            _ => Err("holds something else where a whole number is wanted".into()),
        }
    }

    /// The bytes of a text. Python 3 writes bytes by protocol 2 as letters below 256, and a call that makes bytes of them.
    fn text(&self, at: At) -> Result<Cow<'_, [u8]>, String> {
        let no_text = || "holds something else where a text is wanted".to_string();
        let (maker, arguments) = match &self.values[at] {
            Value::Text(bytes) => return Ok(Cow::Borrowed(bytes)),
            Value::Object(Object { maker: Some(maker), arguments: Some(arguments), .. }) => {
                (*maker, *arguments)
            }
            _ => return Err(no_text()),
        };
        match (&self.values[maker], self.sequence(arguments)?) {
            (Value::Name(name), []) if name.ends_with(".bytes") => Ok(Cow::Borrowed(&[])),
            (Value::Name(name), [letters, _]) if name == "_codecs.encode" => match &self.values[*letters] {
                Value::Text(letters) => {
                    let letters = std::str::from_utf8(letters).map_err(|_| no_text())?;
                    let bytes = letters.chars().map(|c| u8::try_from(u32::from(c)));
                    bytes.collect::<Result<Vec<u8>, _>>().map(Cow::Owned).map_err(|_| no_text())
                }
                _ => Err(no_text()),
            },
            _ => Err(no_text()),
        }
    }

    /// The axes of an array of NumPy, or sizes that stand by themselves.
    pub fn sizes(&self, at: At) -> Result<Vec<usize>, String> {
        let size = |at: &At| usize::try_from(self.integer(*at)?).map_err(|_| "holds a negative size".into());
        self.sequence(at)?.iter().map(size).collect()
    }

    /// An array of NumPy.
    pub fn array(&self, at: At) -> Result<Array, String> {
        let no_array = "holds something else where an array of NumPy is wanted";
        let Value::Object(Object { maker: Some(maker), state: Some(state), .. }) = self.values[at] else {
            return Err(no_array.into());
        };
        match &self.values[maker] {
            Value::Name(name) if name.starts_with("numpy.") && name.ends_with("._reconstruct") => (),
            _ => return Err(no_array.into()),
        }
        // A version, the axes, the type of an entry, whether columns come first, the entries.
        let &[_, shape, kind, fortran, data] = self.sequence(state)? else { return Err(no_array.into()) };
        let fortran = self.integer(fortran)? != 0;
        let Value::Object(Object { arguments: Some(arguments), state: Some(state), .. }) = self.values[kind]
        else {
            return Err(no_array.into());
        };
        let (&[code, ..], &[_, order, ..]) = (self.sequence(arguments)?, self.sequence(state)?) else {
            return Err(no_array.into());
        };
        let descr = [&self.text(order)?[..], &self.text(code)?].concat();
        let (shape, data) = (self.sizes(shape)?, self.text(data)?.into_owned());
        Array::new(&String::from_utf8_lossy(&descr), shape, fortran, data)
    }
}

/// What reads a pickle: its instructions work on a stack.
struct Machine<'a> {
    bytes: &'a [u8],
    values: Vec<Value>,
    stack: Vec<At>,
    /// Heights of the stack.
    marks: Vec<usize>,
    memo: HashMap<u64, At>,
}

impl Machine<'_> {
    /// Carries out one instruction; false at the end.
    fn step(&mut self) -> Result<bool, String> {
        match self.number::<1>()? as u8 {
            b'.' => return Ok(false),
            // The protocol's version.
            0x80 => drop(self.take(1)?),
            b'(' => self.marks.push(self.stack.len()),
            b'N' => self.push(Value::None),
            0x88 => self.push(Value::Integer(1)),
            0x89 => self.push(Value::Integer(0)),
            b'K' => self.integer::<1>()?,
            b'M' => self.integer::<2>()?,
            b'J' => {
                let v = self.number::<4>()?;
                self.push(Value::Integer(i64::from(v as u32 as i32)));
            }
            // A frame's length: frames follow one another without a gap.
            0x95 => drop(self.take(8)?),
            0x8a => self.long()?,
            b'U' | b'C' | 0x8c => self.text::<1>()?,
            b'T' | b'X' | b'B' => self.text::<4>()?,
            0x8d | 0x8e => self.text::<8>()?,
            b'c' => {
                let name = format!("{}.{}", self.line()?, self.line()?);
                self.push(Value::Name(name));
            }
            0x93 => {
                let (name, module) = (self.popped_text()?, self.popped_text()?);
                self.push(Value::Name(format!("{module}.{name}")));
            }
            b'}' => self.push(Value::Object(Object::default())),
            b')' | b']' => self.push(Value::Sequence(Vec::new())),
            b't' => {
                let entries = self.marked()?;
                self.push(Value::Sequence(entries));
            }
            n @ 0x85..=0x87 => {
                let height = self.stack.len().checked_sub(usize::from(n - 0x84)).ok_or(TOO_FEW)?;
                let entries = self.stack.split_off(height);
                self.push(Value::Sequence(entries));
            }
            b'a' => {
                let entry = self.pop()?;
                self.list()?.push(entry);
            }
            b'e' => {
                let entries = self.marked()?;
                self.list()?.extend(entries);
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.object()?.entries.push((key, value));
            }
            b'u' => {
                let entries = self.marked()?;
                if entries.len() % 2 != 0 {
                    return Err("sets a key without a value".into());
                }
                self.object()?.entries.extend(entries.chunks_exact(2).map(|e| (e[0], e[1])));
            }
            // A call, and a new object of a class.
            b'R' | 0x81 => {
                let (arguments, maker) = (self.pop()?, self.pop()?);
                let object = Object { maker: Some(maker), arguments: Some(arguments), ..Object::default() };
                self.push(Value::Object(object));
            }
            b'b' => {
                let state = self.pop()?;
                self.object()?.state = Some(state);
            }
            0x94 => {
                let (key, at) = (self.memo.len() as u64, *self.stack.last().ok_or(TOO_FEW)?);
                self.memo.insert(key, at);
            }
            b'q' => self.keep::<1>()?,
            b'r' => self.keep::<4>()?,
            b'h' => self.recall::<1>()?,
            b'j' => self.recall::<4>()?,
            code => {
                return Err(format!(
                    "has an instruction {code:#04x}; plain data of protocols 2 to 4 have none"
                ));
            }
        }
        Ok(true)
    }

    fn take(&mut self, count: usize) -> Result<&[u8], String> {
        let (taken, rest) = self.bytes.split_at_checked(count).ok_or("is truncated")?;
        self.bytes = rest;
        Ok(taken)
    }

    /// A little-endian number of N bytes.
    fn number<const N: usize>(&mut self) -> Result<u64, String> {
        Ok(self.take(N)?.iter().rev().fold(0, |v, b| v << 8 | u64::from(*b)))
    }

    /// A whole number of up to eight bytes, the last of which has the sign.
    fn long(&mut self) -> Result<(), String> {
        let count = self.number::<1>()? as usize;
        let bytes = self.take(count)?;
        if bytes.len() > 8 {
            return Err(format!("holds a whole number of {count} bytes; at most 8 are read"));
        }
        let fill = if bytes.last().is_some_and(|b| *b >= 128) { 255 } else { 0 };
        let mut word = [fill; 8];
        word[..bytes.len()].copy_from_slice(bytes);
        self.push(Value::Integer(i64::from_le_bytes(word)));
        Ok(())
    }

    fn popped_text(&mut self) -> Result<String, String> {
        let at = self.pop()?;
        match &self.values[at] {
            Value::Text(bytes) => Ok(String::from_utf8_lossy(bytes).into_owned()),
            _ => Err("holds something else where a name is wanted".into()),
        }
    }

    fn integer<const N: usize>(&mut self) -> Result<(), String> {
        let v = self.number::<N>()?;
        self.push(Value::Integer(v as i64));
        Ok(())
    }

    fn text<const N: usize>(&mut self) -> Result<(), String> {
        let count = usize::try_from(self.number::<N>()?).map_err(|_| "is truncated")?;
        let text = self.take(count)?.to_vec();
        self.push(Value::Text(text));
        Ok(())
    }

    fn line(&mut self) -> Result<String, String> {
        let end = self.bytes.iter().position(|b| *b == b'\n').ok_or("is truncated")?;
        let line = String::from_utf8_lossy(self.take(end)?).into_owned();
        self.take(1)?;
        Ok(line)
    }

    fn push(&mut self, value: Value) {
        self.stack.push(self.values.len());
        self.values.push(value);
    }

    fn pop(&mut self) -> Result<At, String> {
        Ok(self.stack.pop().ok_or(TOO_FEW)?)
    }

    /// What lies above the last mark.
    fn marked(&mut self) -> Result<Vec<At>, String> {
        let height = self.marks.pop().filter(|h| *h <= self.stack.len()).ok_or(TOO_FEW)?;
        Ok(self.stack.split_off(height))
    }

    fn top(&mut self) -> Result<&mut Value, String> {
        Ok(&mut self.values[*self.stack.last().ok_or(TOO_FEW)?])
    }

    fn list(&mut self) -> Result<&mut Vec<At>, String> {
        match self.top()? {
            Value::Sequence(entries) => Ok(entries),
            _ => Err("appends to something else than a list".into()),
        }
    }

    fn object(&mut self) -> Result<&mut Object, String> {
        match self.top()? {
            Value::Object(object) => Ok(object),
            _ => Err("fills something else than an object".into()),
        }
    }

    fn keep<const N: usize>(&mut self) -> Result<(), String> {
        let (key, at) = (self.number::<N>()?, *self.stack.last().ok_or(TOO_FEW)?);
        self.memo.insert(key, at);
        Ok(())
    }

    fn recall<const N: usize>(&mut self) -> Result<(), String> {
        let key = self.number::<N>()?;
        self.stack.push(*self.memo.get(&key).ok_or("recalls what it has not kept")?);
        Ok(())
    }
}

const TOO_FEW: &str = "takes more values than there are";

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers 7 and 200 as an array of NumPy, whose bytes are written so.
    fn array(start: &[u8], kind: &[u8], order: &[u8], data: &[u8]) -> Vec<u8> {
        let numbers = b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89";
        [start, kind, b"\x89\x88\x87R(K\x03", order, numbers, data, b"tb."].concat()
    }

    #[test]
    fn arrays_of_every_protocol() {
        let global = b"cnumpy._core.multiarray\n_reconstruct\n)R(K\x01K\x02\x85cnumpy\ndtype\n";
        let raw = [7, 0, 0, 0, 200, 0, 0, 0];
        // Python 3 by protocol 2, 3 and 4.
        let letters = b"c_codecs\nencode\nX\x09\x00\x00\x00\x07\x00\x00\x00\xc3\x88\x00\x00\x00X\x06\x00\x00\x00latin1\x86R";
        let x = |text: &[u8]| [b"X", &[text.len() as u8, 0, 0, 0][..], text].concat();
        let second = array(&[b"\x80\x02", &global[..]].concat(), &x(b"i4"), &x(b"<"), letters);
        let third =
            array(&[b"\x80\x03", &global[..]].concat(), &x(b"i4"), &x(b"<"), &[b"C\x08", &raw[..]].concat());
        let start = b"\x80\x04\x95\x00\x00\x00\x00\x00\x00\x00\x00\x8c\x16numpy._core.multiarray\x94\x8c\x0c_reconstruct\x93)R(K\x01K\x02\x85\x8c\x05numpy\x94\x8c\x05dtype\x93";
        let long = [b"\x8e\x08\x00\x00\x00\x00\x00\x00\x00", &raw[..]].concat();
        let fourth = array(start, b"\x8c\x02i4", b"\x8c\x01<", &long);
        for bytes in [second, third, fourth] {
            let pickle = Pickle::parse(&bytes).unwrap();
            assert!(pickle.array(pickle.root).unwrap().integers().unwrap().eq([7, 200]), "{bytes:?}");
        }
    }

    #[test]
    fn kept_values_and_long_numbers() {
        // What is kept without a number has that of the values kept before.
        let pickle = Pickle::parse(b"\x80\x04]\x94(\x8a\x02\x00\xff\x94h\x01\x8a\x00e.").unwrap();
        let entries = pickle.sequence(pickle.root).unwrap();
        let numbers: Vec<i64> = entries.iter().map(|at| pickle.integer(*at).unwrap()).collect();
        assert_eq!(numbers, [-256, -256, 0]);
        assert!(Pickle::parse(b"\x8a\x09123456789.").err().unwrap().contains("9 bytes"));
        assert!(Pickle::parse(b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff.").err().unwrap().contains("truncated"));
    }
}
