"""Where frames come from and where results go: images, folders, videos, cameras, JSON, CSV.

The estimator knows nothing of it; the command line is its first user.
"""
