//! The receiver of the frames that a reader yields.

use std::ops::ControlFlow;

use crate::frame::Frame;

/// Receives frames one by one. Closures implement it; a dedicated type can also have a fast path,
/// which is inlined into the loop of the reader.
pub trait FrameVisitor {
    /// Receives a frame if it can do so without the position of its record. Returns whether it did; otherwise
    /// the frame is left to [`FrameVisitor::visit`]. Never accepts a frame without bytes.
    #[inline]
    fn visit_fast(&mut self, _frame: &Frame<'_>) -> bool {
        false
    }

    /// Receives a frame. `position` is the offset of its record in the capture, or 0 if the reader does not
    /// track that. Breaks to stop reading.
    fn visit(&mut self, frame: &Frame<'_>, position: u64) -> ControlFlow<()>;
}

impl<F: FnMut(&Frame<'_>, u64) -> ControlFlow<()>> FrameVisitor for F {
    fn visit(&mut self, frame: &Frame<'_>, position: u64) -> ControlFlow<()> {
        self(frame, position)
    }
}
