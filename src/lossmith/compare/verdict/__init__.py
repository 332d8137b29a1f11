"""What the runs show: paired statistics, the verdict, and the sentences that say it."""
