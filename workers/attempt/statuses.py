"""How a child says by its exit status what it cannot, or need not, write down: EX_IOERR and EX_TEMPFAIL of
sysexits.h."""

DISK_FULL, LEFT_EARLY = 74, 75
