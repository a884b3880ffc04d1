//! What is known of a tensor while a graph is traced: its shape at one concrete picture size, and for each axis where
//! its elements lie in the picture.
//!
//! An axis is a list of factors, outermost first, because networks fold rows, columns, windows and channels into one
//! axis and out of it again. A tensor that is computed from the picture and not `whole` has exactly one factor along
//! the rows and one along the columns; [`super::Trace`] holds every operator to that.

use std::rc::Rc;

use super::map::{Map, Step};

/// What a factor of an axis runs over.
#[derive(Clone, Debug, PartialEq)]
pub enum Place {
    /// Channels or anything else that has no place in the picture.
    Plain,
    /// The same constants over and over, which go with any place in the picture.
    Repeated,
    /// The pictures of a batch.
    Batch,
    /// Rows of the picture.
    Rows(Rc<Map>),
    /// Columns of the picture.
    Columns(Rc<Map>),
}

/// A part of an axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Factor {
    /// Its size.
    pub size: i64,
    /// What it runs over.
    pub place: Place,
}

impl Factor {
    /// The map, if the factor lies along rows or columns.
    pub fn map(&self) -> Option<&Rc<Map>> {
        match &self.place {
            Place::Rows(map) | Place::Columns(map) => Some(map),
            _ => None,
        }
    }

    /// The same direction with another size and map.
    pub fn moved(&self, size: i64, map: Map) -> Factor {
        let map = Rc::new(map);
        let place = if matches!(self.place, Place::Rows(_)) { Place::Rows(map) } else { Place::Columns(map) };
        Factor { size, place }
    }
}

/// An axis: the product of its factors, the first outermost. An axis of size one has none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Axis(Vec<Factor>);

impl Axis {
    /// An axis without a place in the picture.
    pub fn plain(size: i64) -> Axis {
        Axis::of(vec![Factor { size, place: Place::Plain }])
    }

    /// An axis of repeats.
    pub fn repeated(size: i64) -> Axis {
        Axis::of(vec![Factor { size, place: Place::Repeated }])
    }

    /// An axis of these factors; those of size one that say nothing are dropped, neighbours without place are joined.
    pub fn of(factors: Vec<Factor>) -> Axis {
        let mut axis: Vec<Factor> = Vec::with_capacity(factors.len());
        for factor in factors {
            if factor.size == 1 && factor.map().is_none() {
                continue;
            }
            match axis.last_mut() {
                Some(last) if matches!(factor.place, Place::Plain | Place::Repeated) && last.place == factor.place => {
                    last.size = last.size.saturating_mul(factor.size);
                }
                _ => axis.push(factor),
            }
        }
        Axis(axis)
    }

    /// The factors.
    pub fn factors(&self) -> &[Factor] {
        &self.0
    }

    /// The number of elements, saturating.
    pub fn size(&self) -> i64 {
        self.0.iter().fold(1, |size: i64, factor| size.saturating_mul(factor.size))
    }

    /// Whether any factor lies along rows or columns.
    pub fn is_spatial(&self) -> bool {
        self.0.iter().any(|factor| factor.map().is_some())
    }

    /// Whether no factor lies in the picture or the batch.
    pub fn is_plain(&self) -> bool {
        self.0.iter().all(|factor| matches!(factor.place, Place::Plain | Place::Repeated))
    }

    /// Whether all elements along it are the same.
    pub fn is_repeated(&self) -> bool {
        !self.0.is_empty() && self.0.iter().all(|factor| factor.place == Place::Repeated)
    }

    /// The same where elements may differ from each other.
    pub fn varied(&self) -> Axis {
        let vary = |factor: &Factor| match factor.place {
            Place::Repeated => Factor { place: Place::Plain, ..factor.clone() },
            _ => factor.clone(),
        };
        Axis::of(self.0.iter().map(vary).collect())
    }

    /// The axis as one factor along rows or columns: elements that lie inside a row are counted as repeats of it.
    pub fn as_spatial(&self) -> Option<Factor> {
        let (first, rest) = self.0.split_first()?;
        let map = first.map()?;
        rest.iter().try_fold(first.clone(), |whole, factor| match factor.place {
            Place::Plain if factor.size <= 64 => {
                let repeated = whole.map().unwrap_or(map).after(&Step::repeat(factor.size))?;
                Some(whole.moved(whole.size.checked_mul(factor.size)?, repeated))
            }
            _ => None,
        })
    }
}

/// A small number that shapes are computed with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Number {
    /// Its value at the traced size.
    pub value: f64,
    /// 0 if it is the same for every picture size; else the picture size has been divided by this.
    pub divisor: i64,
}

/// Where a tensor's values come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// Weights and what is computed from them.
    Constant,
    /// The same, of a shape that the size of the picture decides.
    Extent,
    /// The size of the picture.
    Size,
    /// The picture.
    Picture,
}

/// What is known of a tensor.
#[derive(Clone, Debug)]
pub struct Value {
    /// The shape; `None` when it cannot be followed.
    pub axes: Option<Vec<Axis>>,
    /// The element type's number in the format, 0 when not followed.
    pub element: i32,
    /// The values, of small tensors that do not depend on the picture.
    pub known: Option<Rc<[Number]>>,
    /// Where the values come from.
    pub origin: Origin,
    /// Why an element may depend on the whole picture, if it may.
    pub whole: Option<Rc<str>>,
}

impl Value {
    /// A constant of this shape.
    pub fn constant(axes: Vec<Axis>, element: i32) -> Value {
        Value { axes: Some(axes), element, known: None, origin: Origin::Constant, whole: None }
    }

    /// What `self` becomes with another shape.
    pub fn reshaped(&self, axes: Vec<Axis>) -> Value {
        Value { axes: Some(axes), known: None, ..self.clone() }
    }

    /// The same, depending on the whole picture because of `reason`, if it depends on the picture at all.
    pub fn looking_everywhere(mut self, reason: impl Into<Rc<str>>) -> Value {
        if self.origin == Origin::Picture && self.whole.is_none() {
            self.whole = Some(reason.into());
        }
        self
    }

    /// The shape; only for values whose shape is followed, which the trace makes sure of.
    pub fn axes(&self) -> &[Axis] {
        self.axes.as_deref().expect("rules see only values whose shape is known")
    }

    /// The sizes of the axes.
    pub fn sizes(&self) -> Vec<i64> {
        self.axes().iter().map(Axis::size).collect()
    }

    /// The number of elements, if the shape is followed; as a float because it may be anything.
    pub fn count(&self) -> f64 {
        self.axes.iter().flatten().map(|axis| axis.size() as f64).product()
    }

    /// The known values as integers, each cut to the range.
    pub fn integers(&self) -> Option<Vec<i64>> {
        Some(self.known.as_ref()?.iter().map(|number| number.value as i64).collect())
    }
}
