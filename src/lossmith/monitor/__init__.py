"""What a loss does while it trains: loss by class, who supplies the gradient, and where it stops being finite."""

from lossmith.monitor.guard import Finding as Finding
from lossmith.monitor.history import History as History
from lossmith.monitor.live import Table as Table
from lossmith.monitor.monitor import LossMonitor as LossMonitor
from lossmith.monitor.sinks import JSONL as JSONL
from lossmith.monitor.sinks import MLflow as MLflow
from lossmith.monitor.sinks import Sink as Sink
from lossmith.monitor.sinks import TensorBoard as TensorBoard
from lossmith.monitor.sinks import WandB as WandB
