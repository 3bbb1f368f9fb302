"""What all config classes share: unknown fields are errors, so a misspelt setting is never ignored."""

from pydantic import ConfigDict

STRICT = ConfigDict(extra="forbid", validate_default=True)
