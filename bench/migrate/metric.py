"""pytorch-metric-learning."""

from bench.migrate.row import Row

L = "pytorch_metric_learning.losses"
PROXIES = (  # losses with class vectors of their own
    "ArcFaceLoss",
    "CosFaceLoss",
    "LargeMarginSoftmaxLoss",
    "NormalizedSoftmaxLoss",
    "ProxyAnchorLoss",
    "ProxyNCALoss",
    "SoftTripleLoss",
    "SphereFaceLoss",
    "SubCenterArcFaceLoss",
)
_NONE = {
    "a loss with proxies or class vectors of its own; with features of length 1 a linear layer and `cross_entropy` "
    "(or `ldam`, whose margin depends on how rare the class is) are the nearest": (
        *PROXIES,
        "P2SGradLoss",
        "ManifoldLoss",
        "InstanceLoss",
    ),
    "not in the catalogue; of the same purpose: `mined_triplet`, `info_nce`, `supervised_contrastive`": (
        "AngularLoss",
        "CircleLoss",
        "DynamicSoftMarginLoss",
        "FastAPLoss",
        "GeneralizedLiftedStructureLoss",
        "HistogramLoss",
        "IntraPairVarianceLoss",
        "LiftedStructureLoss",
        "MarginLoss",
        "MultiSimilarityLoss",
        "NCALoss",
        "NPairsLoss",
        "PNPLoss",
        "RankedListLoss",
        "SignalToNoiseRatioContrastiveLoss",
        "ThresholdConsistentMarginLoss",
        "TupletMarginLoss",
        "VICRegLoss",
    ),
    "a wrapper or a base class, not a loss": (
        "BaseLossWrapper",
        "BaseMetricLossFunction",
        "CrossBatchMemory",
        "EmbeddingRegularizerMixin",
        "GenericPairLoss",
        "MultipleLosses",
        "SelfSupervisedLoss",
        "WeightRegularizerMixin",
    ),
}
METRIC = [
    Row(f"{L}:NTXentLoss(temperature=0.1)", "info_nce(temperature=0.1)", "embeddings"),
    Row(
        f"{L}:SupConLoss(temperature=0.1)",
        "supervised_contrastive(temperature=0.1)",
        "embeddings",
        "Of a batch without negatives theirs is 0.",
    ),
    Row(
        f"{L}:TripletMarginLoss(margin=0.3, smooth_loss=True)",
        'mined_triplet(margin=0.3, mining="all", soft=True)',
        "embeddings",
        "Theirs brings embeddings to length 1 itself; ours leaves that to the model.",
        front="unit length",
        rtol=1e-5,
    ),
    Row(
        f"{L}:TripletMarginLoss",
        "",
        remark="As above, with a mean over the triplets that cost something only: its "
        'gradient grows as fewer do. `mined_triplet(mining="all")` divides by all of them.',
    ),
    Row(
        f"{L}:ContrastiveLoss",
        "",
        remark="Costs the distance, not its square, over all pairs of a batch, and divides "
        "by the pairs that cost something; `contrastive` is the paper's, of given pairs.",
    ),
    Row(f"{L}:SmoothAPLoss", "", remark="`smooth_ap` of similarities, one ranking per anchor."),
    *(
        Row(f"{L}:{name}", "", remark=f"{reason[0].upper()}{reason[1:]}.")
        for reason, names in _NONE.items()
        for name in names
    ),
]
