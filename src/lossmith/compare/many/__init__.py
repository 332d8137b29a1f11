"""`lossmith bench`: the same comparison on many data sets, and what it says over all of them."""
