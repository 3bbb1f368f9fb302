"""Feature banks: what was seen of the people of a video at other times, for heads with memory."""

from relact.bank.feature_bank import BankWriter, FeatureBank, Producer
from relact.bank.online import OnlineBank
from relact.bank.recent import RecentBank
from relact.bank.rows import Rows

__all__ = ["BankWriter", "FeatureBank", "OnlineBank", "Producer", "RecentBank", "Rows"]
