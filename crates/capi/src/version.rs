// Read by build.rs too, for the name that programs find the library by.

/// Version of this interface. It grows by one when something that was there changes; additions leave it.
pub const TSONAMI_ABI_VERSION: u32 = 3;
