"""A record shop as a web service: psqlmodel with FastAPI.

pip install 'psqlmodel[fastapi,embedded]' uvicorn
uvicorn --app-dir examples fastapi_app.main:app
"""
