"""Building blocks, one per file, each with a lesson of its own.

The files hold the finished form of what the notebooks derive. In the order of the lessons:

gru            : the GRU, as GLINT-RU prints it and as PyTorch computes it (notebook 02)
temporal_conv  : a weighted sum of neighbours in time (notebook 03)
selective_gate : what the convolved input lets through of the states (notebook 04)
attention      : softmax attention and GLINT-RU's linear attention (notebook 05)
gated_mlp      : the block that closes GLINT-RU (notebook 06)
selective_gru  : GLINT-RU's recurrent expert (notebooks 06 and 08)
linear_rnn     : minGRU and the LRU, linear in their state (notebook 09)
bd_lru         : RecBLR's gated recurrent layer (notebooks 09 and 13)
feed_forward   : the feed-forward block after attention or a recurrence (notebook 13)
mamba          : the Mamba block, RecBLR's nearest relative (Gu and Dao, 2023)
"""
