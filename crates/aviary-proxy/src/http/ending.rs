//! The word that a connection is to end, for the task that serves it.

use std::cell::Cell;
use std::pin::Pin;
use std::task::Context;

/// A word that may come while a task waits for something else.
///
/// The task asks to be woken once, and then looks at a flag: to ask at each turn costs more than
/// all else that a wait does. All polls are of one task.
pub(crate) struct Ending<'a, F> {
    word: Pin<&'a mut F>,
    given: &'a Cell<bool>,
    asked: bool,
}

impl<'a, F: Future<Output = ()>> Ending<'a, F> {
    /// `word` is over once the word is given; `given` is true from then on.
    pub(crate) fn new(word: Pin<&'a mut F>, given: &'a Cell<bool>) -> Self {
        Self {
            word,
            given,
            asked: false,
        }
    }

    /// Whether the word was given; if not, it wakes the task.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.asked {
            self.asked = true;
            return self.word.as_mut().poll(cx).is_ready();
        }
        self.given.get()
    }
}
