//! docs/fault-matrix.md
