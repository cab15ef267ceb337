"""The linear recurrence h_t = a_t h_{t-1} + b_t, and the BD-LRU around it, on any device."""

from minirec.scan.recurrence import linear_recurrence

__all__ = ["linear_recurrence"]
