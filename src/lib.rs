//! dogwatch: a process supervisor whose own death never reaches a service.
